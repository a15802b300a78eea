"""DescribeInstances per second, with 0, 100 and 1,000 instances, against moto's server.

One boto3 client, one call after another, the two clouds in turn. Also the share of boto3 itself:
what the same client does against a server that answers the same bytes from memory.
"""

import argparse
import http.server
import threading

from bench import cloud as clouds
from bench.pairs import Spread, in_turn, rate, report


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench describe", description=__doc__)
    options.add_argument("--counts", type=int, nargs="*", default=[0, 100, 1000])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=2.0, help="of each turn")
    chosen = options.parse_args()
    print(clouds.machine())
    with clouds.fake_pileus(hosts=4) as ours, clouds.moto() as theirs:
        image, their_image, present = ours.image_id(), clouds.moto_image(theirs), 0
        for count in chosen.counts:
            clouds.run_instances(ours, image, count - present)
            clouds.run_instances(theirs, their_image, count - present)
            present = count
            compare(ours, theirs, count, chosen.rounds, chosen.seconds)


def compare(ours, theirs, count: int, rounds: int, seconds: float) -> None:
    """Prints the row of one size. Both answers hold as many instances, or it stops."""
    our_client, their_client = ours.client(), theirs.client()
    for client in (our_client, their_client):
        seen = sum(len(r["Instances"]) for r in client.describe_instances()["Reservations"])
        assert seen == count, f"asked for {count} instances, sees {seen}"
    a, b, ratio = in_turn(
        lambda: rate(our_client.describe_instances, seconds),
        lambda: rate(their_client.describe_instances, seconds),
        rounds,
    )
    raw_a, raw_b, raw_ratio = in_turn(
        lambda: rate(clouds.raw_call(ours, "DescribeInstances"), seconds),
        lambda: rate(clouds.raw_call(theirs, "DescribeInstances"), seconds),
        rounds,
    )
    report(
        f"DescribeInstances of {count} instances, calls per second: median (lowest .. highest)",
        [
            ("pileus", f"{a:.1f}"),
            ("moto", f"{b:.1f}"),
            ("pileus / moto", f"{ratio:.1f}"),
            ("pileus, answer not parsed", f"{raw_a:.1f}"),
            ("moto, answer not parsed", f"{raw_b:.1f}"),
            ("pileus / moto, not parsed", f"{raw_ratio:.1f}"),
            ("boto3 alone, canned answer", f"{canned(ours, our_client, rounds, seconds):.1f}"),
        ],
    )


def canned(ours, our_client, rounds: int, seconds: float) -> Spread:
    """The most that this client can see: the same bytes, answered at once."""
    kept = {}

    def keep(response_dict, **_):
        kept["body"] = response_dict["body"]

    our_client.meta.events.register("before-parse.ec2", keep)
    our_client.describe_instances()

    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body leave in one piece

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(kept["body"])))
            self.end_headers()
            self.wfile.write(kept["body"])

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        fixed = clouds.Cloud(
            f"http://127.0.0.1:{server.server_port}",
            ours.access_key_id,
            ours.secret_access_key,
            ours.region,
        ).client()
        fixed.describe_instances()
        return Spread.of([rate(fixed.describe_instances, seconds) for _ in range(rounds)])
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    main()
