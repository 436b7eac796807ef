"""Claim a ready instance over the sidecar's HTTP API and render on it.

Nothing but Python and the admin key is needed: no access to the cluster.

    export ADMIN_API_KEY=...
    python3 claim_http.py http://localhost:3000 workflow_api.json
"""
import json, os, sys, time, urllib.request


def call(url, headers, body=None):
    """POST a body, or GET without one, and return the JSON of the answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


if __name__ == "__main__":
    sidecar, workflow = sys.argv[1], json.load(open(sys.argv[2]))
    # 404 means that no instance is free: ask again later.
    claim = call(sidecar + "/api/proxy/warm-pool/claim", {"x-admin-key": os.environ["ADMIN_API_KEY"]}, {"maxMinutes": 5})
    print("claimed until", claim["leasedUntil"])
    # From here on the claim's token is enough, and it opens this instance only.
    comfy, token = sidecar + claim["proxyPath"], {"Authorization": "Bearer " + claim["token"]}
    prompt = call(comfy + "prompt", token, {"prompt": workflow})["prompt_id"]
    print("rendering", prompt)
    while not (entry := call(comfy + "history/" + prompt, token).get(prompt)):
        time.sleep(1)
    print(entry["status"]["status_str"])
