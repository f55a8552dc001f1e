"""How a model hub is written to, as huggingface_hub does it: what `hub_server` answers to it.

A repository is made, the hub says which files are large, takes these by LFS's batch protocol, and
then one commit names all of them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re


def answer(server, handler, path, headers, body):
    """Answers a request that writes."""
    if match := re.fullmatch(r"/lfs/(\w+)", path):  # elsewhere, by an address that was given out
        return _store(server, handler, match[1], body)
    if path == "/api/validate-yaml":
        text = json.loads(body)["content"]
        is_good = text.startswith("---\n") and "license:" in text
        errors = [] if is_good else [{"message": "no metadata"}]
        return _send(handler, 200 if is_good else 400, {"warnings": [], "errors": errors})
    token = headers.get("authorization", "").removeprefix("Bearer ")
    if token not in server.writers:
        return _send(handler, 401, {"error": "Invalid username or password."})
    if path == "/api/repos/create":
        return _create(server, handler, json.loads(body))
    rules = (
        (r"/api/models/([^/]+/[^/]+)/preupload/(.+)", _preupload),
        (r"/([^/]+/[^/]+)\.git/info/lfs/objects/(batch)", _batch),
        (r"/([^/]+/[^/]+)\.git/info/lfs/(verify)", _verify),
        (r"/api/models/([^/]+/[^/]+)/branch/(.+)", _branch),
        (r"/api/models/([^/]+/[^/]+)/commit/(.+)", _commit),
    )
    for pattern, rule in rules:
        if match := re.fullmatch(pattern, path):
            if not server.may_write(handler, match[1]):
                return _send(handler, 403, {"error": "You don't have the rights."})
            return rule(server, handler, match[1], match[2], body)
    return _send(handler, 404, {"error": f"no {path}"})


def _send(handler, code, value):
    from hub_server import send

    headers = {"Content-Type": "application/json"}
    send(handler, code, json.dumps(value).encode(), headers)


def _create(server, handler, asked):
    name = f"{asked['organization']}/{asked['name']}"
    if not server.may_write(handler, name):
        return _send(handler, 403, {"error": f"You don't have the rights to create {name}."})
    if name in server.repos:
        return _send(handler, 409, {"error": "You already created this model repo"})
    private = asked.get("private") or asked.get("visibility") == "private"
    server.publish(name, {".gitattributes": b""}, private=bool(private), licence=None)
    return _send(handler, 200, {"url": f"{server.url}/{name}"})


def _preupload(server, handler, name, revision, body):
    from hub_server import LARGE

    files = [
        {
            "path": one["path"],
            "uploadMode": "lfs" if one["path"].endswith(LARGE) else "regular",
            "shouldIgnore": False,
        }
        for one in json.loads(body)["files"]
    ]
    return _send(handler, 200, {"files": files})


def _batch(server, handler, name, _, body):
    asked = json.loads(body)
    assert "basic" in asked["transfers"]
    objects = []
    for one in asked["objects"]:
        entry = {"oid": one["oid"], "size": one["size"]}
        if one["oid"] not in server.blobs:
            elsewhere = server.url.replace("127.0.0.1", "localhost")
            verify = f"{server.url}/{name}.git/info/lfs/verify"
            entry["actions"] = {
                "upload": {"href": f"{elsewhere}/lfs/{one['oid']}"},
                "verify": {"href": verify},
            }
        objects.append(entry)
    return _send(handler, 200, {"transfer": "basic", "objects": objects})


def _store(server, handler, oid, body):
    if hashlib.sha256(body).hexdigest() != oid or "Authorization" in handler.headers:
        return _send(handler, 400, {"error": "other bytes than their hash, or a token sent away"})
    server.blobs[oid] = body
    return _send(handler, 200, {})


def _verify(server, handler, name, _, body):
    return _send(handler, 200 if json.loads(body)["oid"] in server.blobs else 404, {})


def _branch(server, handler, name, branch, body):
    repo = server.repos[name]
    if branch in repo.revisions:
        return _send(handler, 409, {"error": "Reference already exists"})
    repo.revisions[branch] = repo.revisions["main"]
    return _send(handler, 200, {})


def _commit(server, handler, name, revision, body):
    repo = server.repos[name]
    if revision not in repo.revisions:
        return _send(handler, 404, {"error": "Invalid rev id"})
    head = repo.revisions[revision]
    files = dict(repo.commits[head])
    for line in body.decode().splitlines():
        entry = json.loads(line)
        key, value = entry["key"], entry["value"]
        if key == "header":
            if value.get("parentCommit") not in (None, head):
                return _send(handler, 412, {"error": "A commit has happened since"})
            repo.messages.append(value["summary"])
        elif key == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif key == "lfsFile":
            files[value["path"]] = server.blobs[value["oid"]]
        elif key == "deletedFile":
            del files[value["path"]]
        else:
            raise AssertionError(f"{key} is not expected")
    oid = server.publish(name, files, branch=revision)
    url = f"{server.url}/{name}/commit/{oid}"
    return _send(handler, 200, {"success": True, "commitOid": oid, "commitUrl": url})
