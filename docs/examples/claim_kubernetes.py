"""Claim a ready instance, render a workflow on it, and give it back.

    pip install kubernetes
    python3 claim_kubernetes.py workflow_api.json
"""
import base64, hashlib, http.client, json, ssl, sys, time, urllib.parse
from contextlib import contextmanager

from kubernetes import client, config

GROUP = dict(group="warmpool.dev", version="v1alpha1", plural="warmclaims")
NAMESPACE = "default"


@contextmanager
def claimed(pool, ttl_seconds, wait_seconds=1800):
    """Yield what the claim's Secret holds, as text; delete the claim afterwards."""
    try:
        config.load_incluster_config()  # the Pod's service account
    except config.ConfigException:
        config.load_kube_config()
    objects, core = client.CustomObjectsApi(), client.CoreV1Api()
    claim = objects.create_namespaced_custom_object(namespace=NAMESPACE, **GROUP, body={
        "apiVersion": "warmpool.dev/v1alpha1", "kind": "WarmClaim", "metadata": {"generateName": "job-"},
        "spec": {"poolRef": {"name": pool}, "ttlSeconds": ttl_seconds, "bindTimeoutSeconds": wait_seconds},
    })
    name = claim["metadata"]["name"]
    try:
        conditions = {}
        while conditions.get("Ready", {}).get("status") != "True":
            if conditions.get("Finished", {}).get("status") == "True":
                raise RuntimeError("the claim ended before it was served: " + conditions["Finished"]["message"])
            time.sleep(2)
            claim = objects.get_namespaced_custom_object(namespace=NAMESPACE, name=name, **GROUP)
            conditions = {c["type"]: c for c in claim.get("status", {}).get("conditions", [])}
        secret = core.read_namespaced_secret(claim["status"]["credentialsSecretRef"]["name"], NAMESPACE)
        yield {key: base64.b64decode(value).decode() for key, value in secret.data.items()}
    finally:
        objects.delete_namespaced_custom_object(namespace=NAMESPACE, name=name, **GROUP)


def connect(claim):
    """Open a connection to the one machine whose certificate the claim names."""
    address = urllib.parse.urlsplit(claim["url"])
    if "certificateSHA256" not in claim:
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        return kind(address.hostname, address.port, timeout=60)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(address.hostname, address.port, context=context, timeout=60)
    connection.connect()
    if hashlib.sha256(connection.sock.getpeercert(binary_form=True)).hexdigest() != claim["certificateSHA256"]:
        raise RuntimeError("this is another machine than the claim's")
    return connection


def call(claim, method, path, body=None):
    """Send one request of ComfyUI's API with the token, and return its JSON."""
    connection = connect(claim)
    try:
        headers = {"Authorization": "Bearer " + claim["token"], "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"ComfyUI answers {answer.status} to {path}")
        return json.load(answer)
    finally:
        connection.close()


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        workflow = json.load(file)
    with claimed("sdxl", ttl_seconds=1800) as instance:
        prompt = call(instance, "POST", "/prompt", {"prompt": workflow})["prompt_id"]
        print("rendering", prompt)
        while not (entry := call(instance, "GET", "/history/" + prompt).get(prompt)):
            time.sleep(1)
        print(entry["status"]["status_str"])
