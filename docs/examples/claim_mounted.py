import hashlib, http.client, json, pathlib, ssl, urllib.parse

claim = {f.name: f.read_text() for f in pathlib.Path("/claim").iterdir() if f.is_file()}
address = urllib.parse.urlsplit(claim["url"])
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
connection = http.client.HTTPSConnection(address.hostname, address.port, context=context, timeout=60)
connection.connect()
seen = hashlib.sha256(connection.sock.getpeercert(binary_form=True)).hexdigest()
if seen != claim["certificateSHA256"]:
    raise SystemExit("this is another machine than the claim's")
workflow = json.load(open("workflow_api.json"))
connection.request("POST", "/prompt", json.dumps({"prompt": workflow}),
                   {"Authorization": "Bearer " + claim["token"], "Content-Type": "application/json"})
print(json.load(connection.getresponse())["prompt_id"])
