package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

// handleUser answers GET /users/current/.
func handleUser(w *world, c *call) answer {
	a := c.principal.account
	a.settle(w.now)
	credit := toUSD(a.credit())
	return okAnswer(object{
		"id": a.id, "email": fmt.Sprintf("user%d@example.com", a.id), "username": fmt.Sprintf("user%d", a.id),
		"fullname": "Simulated User", "credit": credit, "balance": 0, "balance_threshold": 0,
		"balance_threshold_enabled": false, "billed_expected": 0, "can_pay": true, "has_billing": true,
		"has_payout": false, "ssh_key": "", "sid": "sim", "tfa_status": nil, "api_key": c.key,
		"paid_expected": 0, "paid_verified": 0, "billaddress_line1": "", "billaddress_country": "",
		"billaddress_city": "", "billaddress_zip": "", "billaddress_taxinfo": "", "total_spend": -toUSD(a.spent.up()),
	})
}

// handleSSHKeys answers GET /ssh/: a bare array.
func handleSSHKeys(_ *world, c *call) answer {
	return okAnswer(append([]schema.SSHKey{}, c.principal.account.sshKeys...))
}

// handleAddSSHKey answers POST /ssh/.
func handleAddSSHKey(w *world, c *call) answer {
	var body schema.SSHKeyRequest
	if reply, ok := decode(c, &body); !ok {
		return reply
	}
	key, refused := w.addSSHKey(c.principal.account, string(body.SSHKey))
	if refused != nil {
		return *refused
	}
	return okAnswer(object{"success": true, "key": key})
}

// addSSHKey keeps a public key, once.
func (w *world) addSSHKey(a *account, text string) (schema.SSHKey, *answer) {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "ssh-") && !strings.HasPrefix(text, "ecdsa-") {
		return schema.SSHKey{}, new(failure(http.StatusBadRequest, "invalid_args", "Invalid ssh_key."))
	}
	for _, key := range a.sshKeys {
		if string(key.PublicKey) == text {
			return key, nil
		}
	}
	a.nextID++
	key := schema.SSHKey{
		ID: schema.Int(a.nextID), UserID: schema.Int(a.id), Key: schema.Text(text), PublicKey: schema.Text(text),
		CreatedAt: schema.Number(strconv.FormatInt(w.now.Unix(), 10)),
	}
	a.sshKeys = append(a.sshKeys, key)
	return key, nil
}

// handleChangeSSHKey answers PUT /ssh/{id}/.
func handleChangeSSHKey(_ *world, c *call) answer {
	var body schema.SSHKeyRequest
	if reply, ok := decode(c, &body); !ok {
		return reply
	}
	at := keyAt(c.principal.account, c.id)
	if at < 0 {
		return failure(http.StatusBadRequest, "no_ssh_key", "No such ssh key.")
	}
	c.principal.account.sshKeys[at].Key, c.principal.account.sshKeys[at].PublicKey = body.SSHKey, body.SSHKey
	return success()
}

// handleDeleteSSHKey answers DELETE /ssh/{id}/.
func handleDeleteSSHKey(_ *world, c *call) answer {
	at := keyAt(c.principal.account, c.id)
	if at < 0 {
		return failure(http.StatusBadRequest, "no_ssh_key", "No such ssh key.")
	}
	c.principal.account.sshKeys = slices.Delete(c.principal.account.sshKeys, at, at+1)
	return success()
}

// keyAt finds a key by id, -1 when there is none.
func keyAt(a *account, id int64) int {
	return slices.IndexFunc(a.sshKeys, func(k schema.SSHKey) bool { return k.ID == schema.Int(id) })
}

// handleInstanceSSH answers GET /instances/{id}/ssh/: a list inside a string.
func handleInstanceSSH(w *world, c *call) answer {
	r := w.own(c, c.id)
	if r == nil {
		return noSuchInstance(c.id)
	}
	keys := schema.SSHKeyList{}
	for _, id := range r.sshKeys {
		if at := keyAt(r.account, id); at >= 0 {
			keys = append(keys, r.account.sshKeys[at])
		}
	}
	return okAnswer(schema.InstanceSSHKeys{Answer: schema.OK(), SSHKeys: keys})
}

// handleAttachSSH answers POST /instances/{id}/ssh/.
func handleAttachSSH(w *world, c *call) answer {
	var body schema.SSHKeyRequest
	if reply, ok := decode(c, &body); !ok {
		return reply
	}
	r := w.own(c, c.id)
	if r == nil {
		return noSuchInstance(c.id)
	}
	key, refused := w.addSSHKey(r.account, string(body.SSHKey))
	if refused != nil {
		return *refused
	}
	id, _ := key.ID.Int64()
	if !slices.Contains(r.sshKeys, id) {
		r.sshKeys = append(r.sshKeys, id)
	}
	return okAnswer(object{"success": true, "msg": "SSH key added to instance."})
}

// handleDetachSSH answers DELETE /instances/{id}/ssh/{key}/.
func handleDetachSSH(w *world, c *call) answer {
	r := w.own(c, c.id)
	if r == nil {
		return noSuchInstance(c.id)
	}
	id, err := strconv.ParseInt(c.request.PathValue("key"), 10, 64)
	at := slices.Index(r.sshKeys, id)
	if err != nil || at < 0 {
		return failure(http.StatusBadRequest, "no_ssh_key", "No such ssh key.")
	}
	r.sshKeys = slices.Delete(r.sshKeys, at, at+1)
	return success()
}

// handleSecrets answers GET /secrets/: names, and stars.
func handleSecrets(_ *world, c *call) answer {
	masked := map[string]string{}
	for name := range c.principal.account.secrets {
		masked[name] = "*****"
	}
	return okAnswer(object{"success": true, "secrets": masked})
}

// handleSetSecret answers POST and PUT /secrets/.
func handleSetSecret(_ *world, c *call) answer {
	var body struct {
		Key, Value string
	}
	if reply, ok := decode(c, &body); !ok {
		return reply
	}
	if body.Key == "" || !regexp.MustCompile(`^[a-zA-Z0-9_\-.]+$`).MatchString(body.Value) {
		return failure(http.StatusBadRequest, "invalid_args", "Invalid key or value.")
	}
	c.principal.account.secrets[strings.ToUpper(body.Key)] = body.Value
	return okAnswer(object{"success": true, "msg": "Environment variable saved."})
}

// handleDeleteSecret answers DELETE /secrets/.
func handleDeleteSecret(_ *world, c *call) answer {
	var body struct{ Key string }
	if reply, ok := decode(c, &body); !ok {
		return reply
	}
	name := strings.ToUpper(body.Key)
	if _, ok := c.principal.account.secrets[name]; !ok {
		return failure(http.StatusNotFound, "not_found", "No such environment variable.")
	}
	delete(c.principal.account.secrets, name)
	return okAnswer(object{"success": true, "msg": "Environment variable deleted."})
}

// handleEndpoints and its siblings keep the little of Vast Serverless that the
// command line needs to list what it created. Nothing is scaled.
func handleEndpoints(_ *world, c *call) answer {
	return okAnswer(object{"success": true, "results": append([]map[string]any{}, c.principal.account.endpoints...)})
}

func handleAddEndpoint(w *world, c *call) answer {
	return w.keepJob(c, &c.principal.account.endpoints)
}

func handleGroups(_ *world, c *call) answer {
	return okAnswer(object{"success": true, "results": append([]map[string]any{}, c.principal.account.groups...)})
}

func handleAddGroup(w *world, c *call) answer { return w.keepJob(c, &c.principal.account.groups) }

// keepJob stores what was sent under a new id.
func (w *world) keepJob(c *call, into *[]map[string]any) answer {
	job := map[string]any{}
	if err := json.Unmarshal(c.body, &job); err != nil {
		return jsonAnswer(http.StatusBadRequest, object{"error": "invalid_request", "msg": "Invalid json body"})
	}
	c.principal.account.nextID++
	id := c.principal.account.nextID
	delete(job, "api_key")
	job["id"], job["user_id"], job["created_at"] = id, c.principal.account.id, epoch(w.now)
	*into = append(*into, job)
	return okAnswer(object{"success": true, "result": id})
}
