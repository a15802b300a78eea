ALTER TABLE "placement" RENAME COLUMN "ran_ms" TO "ran_start";
UPDATE "placement" SET "ran_start" = (SELECT "starts" FROM "instance" WHERE "instance"."instance_id" = "placement"."instance_id") WHERE "ran_start" > 0;
