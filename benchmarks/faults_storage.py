"""Faults of object storage: an S3-compatible server on loopback, behind a proxy that answers 500, cuts connections or loses files."""

import logging
import os
import random
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import s3fs
from faults_world import Tally, World, digest, files_of
from moto.server import ThreadedMotoServer

from pipeline.matcher import Matcher
from pipeline.records import Records
from siamese.encoder import SiameseEncoder
from siamese.folders import local_folder

BUCKET = "bucket"


class Proxy:
    """Passes bytes on between clients and a server; of each connection ``fault`` says what happens to it."""

    def __init__(self, to: tuple[str, int], drawn: random.Random) -> None:
        self.to, self.drawn, self.share, self.kind = to, drawn, 0.0, "cut"
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """One request a connection: s3fs is told to close it, so that every request may meet a fault."""
        client.settimeout(10)
        try:
            request = _message(client)
            if not request:
                return
            if self.drawn.random() < self.share:
                if self.kind == "500":
                    client.sendall(
                        b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    )
                    return
                if self.kind == "refused":
                    return
            with socket.create_connection(self.to, timeout=10) as server:
                head, _, body = request.partition(b"\r\n\r\n")
                lines = [
                    line for line in head.split(b"\r\n") if not line.lower().startswith((b"connection:", b"expect:"))
                ]
                server.sendall(b"\r\n".join([*lines, b"connection: close"]) + b"\r\n\r\n" + body)
                answer = b"".join(iter(lambda: server.recv(65536), b""))
            head, _, body = answer.partition(b"\r\n\r\n")
            lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
            answer = b"\r\n".join([*lines, b"connection: close"]) + b"\r\n\r\n" + body
            if self.kind == "cut" and self.drawn.random() < self.share:
                answer = answer[: self.drawn.randrange(len(answer))]
            client.sendall(answer)
        except OSError:
            pass
        finally:
            client.close()


def _message(client: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        some = client.recv(65536)
        if not some:
            return b""
        data += some
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        if name.lower() == b"expect":
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    while len(body) < length:
        body += client.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def store(drawn: random.Random) -> Iterator[tuple[Proxy, Any]]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    for name in ("botocore", "aiobotocore", "s3fs"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    proxy = Proxy(server.get_host_and_port(), drawn)
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": "siamese",
        "AWS_SECRET_ACCESS_KEY": "siamese",
        "AWS_MAX_ATTEMPTS": "2",
        "AWS_RETRY_MODE": "standard",
    }
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem.retries = 2
    filesystem = s3fs.S3FileSystem()
    filesystem.mkdir(BUCKET)
    yield proxy, filesystem
    proxy.listener.close()
    server.stop()


def faults_of_storage(world: World, seed: int) -> list[Tally]:
    drawn = random.Random(seed)
    tallies = []
    os.environ["SIAMESE_CACHE"] = str(world.place / "cache")
    tempfile.tempdir = str(world.scratch)  # what an upload that failed keeps, and its sentence names
    with store(drawn) as (proxy, filesystem):
        encoder = SiameseEncoder.load(world.model)
        encoder.save(f"s3://{BUCKET}/model")
        for name in ("index", "run"):
            filesystem.put(str(world.place / name), f"{BUCKET}/{name}", recursive=True)
        filesystem.put_file(str(world.records), f"{BUCKET}/records.parquet")
        known = {"model": encoder.fingerprint, "records": digest(Records.open(str(world.records)).ids().to_pylist())}
        for kind in ("500", "cut", "refused"):
            tally = Tally(
                f"object storage, {kind}" + {"500": " answers", "cut": " connections", "refused": " connections"}[kind]
            )
            for number in range(16):
                shutil.rmtree(world.place / "cache", ignore_errors=True)
                what = ("model", "index", "records", "save")[number % 4]
                proxy.kind, proxy.share = kind, drawn.choice((0.05, 0.3, 0.9))

                def act(what: str = what) -> str:
                    if what == "model":
                        return SiameseEncoder.load(f"s3://{BUCKET}/model").fingerprint
                    if what == "index":
                        return Matcher.load(f"s3://{BUCKET}/index").encoder.fingerprint
                    if what == "records":
                        return digest(Records.open(f"s3://{BUCKET}/records.parquet").ids().to_pylist())
                    encoder.save(f"s3://{BUCKET}/again")
                    return encoder.fingerprint

                def after(what: str = what) -> str | None:
                    """What is there is whole, or known not to be, and can be written again."""
                    proxy.share = 0.0
                    if what != "save":
                        return None
                    encoder.save(f"s3://{BUCKET}/again")
                    folder = local_folder(f"s3://{BUCKET}/again", "model")
                    same = files_of(folder, {"manifest.json"}) == files_of(world.model, {"manifest.json"})
                    return None if same else "what was put there is another"

                tally.judge(f"{what}, {proxy.share}", act, known["records" if what == "records" else "model"], after)
            tallies.append(tally)
    tempfile.tempdir = None
    return tallies
