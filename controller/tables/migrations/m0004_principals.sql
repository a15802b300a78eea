CREATE TABLE "principal" ("principal_id" TEXT NOT NULL PRIMARY KEY, "account_id" TEXT NOT NULL REFERENCES "account" ("account_id"), "kind" TEXT NOT NULL, "arn" TEXT NOT NULL, "created_ms" INTEGER NOT NULL);
CREATE UNIQUE INDEX "principal_arn" ON "principal" ("arn");
CREATE INDEX "principal_account_id_principal_id" ON "principal" ("account_id", "principal_id");
CREATE TABLE "access_key" ("access_key_id" TEXT NOT NULL PRIMARY KEY, "principal_id" TEXT NOT NULL REFERENCES "principal" ("principal_id"), "sealed_secret" BLOB NOT NULL, "status" TEXT NOT NULL, "created_ms" INTEGER NOT NULL);
CREATE INDEX "access_key_principal_id_access_key_id" ON "access_key" ("principal_id", "access_key_id");
