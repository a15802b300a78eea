"""The service Quotas: the operator reads and sets what accounts may have."""

from controller.identity.quotas.rules import Quotas
from controller.kernel.call import Call
from controller.kernel.database import Database
from protos.cloud.v1 import quotas_pb2


class QuotasServicer:
    def __init__(self, db: Database, quotas: Quotas):
        self._db, self._quotas = db, quotas

    def List(
        self, request: quotas_pb2.ListQuotasRequest, call: Call
    ) -> quotas_pb2.ListQuotasResponse:
        with self._db.read(call) as session:
            found = self._quotas.list(session, request.account_id)
        return quotas_pb2.ListQuotasResponse(
            quotas=[
                quotas_pb2.Quota(name=name, limit=maximum, used=used)
                for name, maximum, used in found
            ]
        )

    def Set(self, request: quotas_pb2.SetQuotaRequest, call: Call) -> quotas_pb2.Quota:
        with self._db.write(call) as tx:
            used = self._quotas.set(tx, request.account_id, request.name, request.limit)
        return quotas_pb2.Quota(name=request.name, limit=request.limit, used=used)
