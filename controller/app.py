"""The controller, wired. One call makes all of it; nothing in it starts a thread or opens a socket.

    app = build(config, db, clock=…, rng=…, agents=…, secrets=…) app.servicers["Instances"]
    by the service's name in protos, as protos/rpc.serve and LocalClient want them:
                                      LocalClient(app.servicers["Instances"], "gateway", app.guard,
                                                  "pileus.cloud.v1.Instances").Run(request,
                                                  caller=Caller(…))
    app.guard                         protos/rpc.Guard: who may call what
    app.run_tasks(now_ms)             every reconcile task once; the server calls it each second, the simulation too
    app.dispatch_pending()            sends what commits have left to be sent, in this thread; the server's threads do
                                      the same by app.dispatcher
    app.operator_key(call)            the operator's account and key (``python -m controller init``)

What is passed in: ``db`` (db/session.Database, migrated), ``clock`` (milliseconds since the epoch),
``rng`` (random.SystemRandom in life, a seeded Random in simulations), ``agents(host_id, endpoint)``
→ a client with ``Apply(HostSpec, timeout_s=)`` and ``ReadConsole(…)``, raising CloudError
(protos/rpc.Client), ``checkpoint`` (the database's commits have their own; here: around each call
to an agent).

How a noun is built, for all of them:
- a servicer's method is ``def Describe(self, request, call: Call)``; ``door.Door`` stands before it
(gRPC, clock, retry);
- it reads with ``db.read()``, writes in one ``db.write(call)``; raises CloudError;
- its constructor takes what it needs of: db, rng, config parts (config.region, config.quotas …),
``changes``, store.

``changes`` (fleet/changes.Changes) is how a rule says that hosts should know something; within the
transaction:
    changes.vpc(tx, vpc_id)                   rules of its groups changed: hosts of the VPC are sent it at once
    changes.vpc(tx, vpc_id, at_once=False)    members or addresses changed: the hosts learn it by their next report
    changes.instances(tx, [instance_id, …])   the instances' own specs changed: their hosts are sent
    it at once
"""
