ALTER TABLE "placement" RENAME COLUMN "reach" TO "status_check";
ALTER TABLE "placement" RENAME COLUMN "reach_since_ms" TO "status_check_since_ms";
