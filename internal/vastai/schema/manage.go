package schema

import (
	"bytes"
	"encoding/json"
)

// ManageRequest is the body of PUT /api/v0/instances/{id}/: a state or a label.
type ManageRequest struct {
	// State is "running" or "stopped"; empty leaves it.
	State Text `json:"state,omitempty"`
	// Label is a new label; nil leaves it.
	Label *Text `json:"label,omitempty"`
	// IDs names the instances of a bulk request (PUT /api/v0/instances/).
	IDs []Number `json:"ids,omitempty"`
}

// DestroyRequest is the body of a bulk destroy (DELETE /api/v0/instances/).
type DestroyRequest struct {
	InstanceIDs []Number `json:"instance_ids,omitempty"`
}

// LogsRequest is the body of PUT /api/v0/instances/request_logs/{id}/.
type LogsRequest struct {
	// Tail is the number of lines, as a string on the wire.
	Tail Text `json:"tail,omitempty"`
	// Filter keeps lines that contain it.
	Filter Text `json:"filter,omitempty"`
	// DaemonLogs is "true" for the host daemon's log.
	DaemonLogs Text `json:"daemon_logs,omitempty"`
}

// LogsResponse says where the log will be uploaded.
type LogsResponse struct {
	Answer
	// ResultURL answers 403 or 404 until the upload is done. It is signed: it
	// must be read without credentials and kept out of logs.
	ResultURL Secret `json:"result_url"`
}

// User is the answer to GET /api/v0/users/current/.
type User struct {
	Answer
	ID       Number `json:"id"`
	Email    Text   `json:"email"`
	Username Text   `json:"username"`
	FullName Text   `json:"fullname"`
	// Credit is what can be spent, in USD.
	Credit Number `json:"credit"`
	// Balance is a legacy amount and may be zero or negative.
	Balance                 Number `json:"balance"`
	BalanceThreshold        Number `json:"balance_threshold"`
	BalanceThresholdEnabled Flag   `json:"balance_threshold_enabled"`
	BilledExpected          Number `json:"billed_expected"`
	CanPay                  Flag   `json:"can_pay"`
	HasBilling              Flag   `json:"has_billing"`
	SSHKey                  Text   `json:"ssh_key"`
	SID                     Text   `json:"sid"`
	TFAStatus               Text   `json:"tfa_status,omitempty"`
	APIKey                  Secret `json:"api_key,omitempty"`
}

// SSHKeyRequest is the body of POST /api/v0/ssh/ and of POST
// /api/v0/instances/{id}/ssh/.
type SSHKeyRequest struct {
	SSHKey Text `json:"ssh_key"`
}

// SSHKey is a public key of the account.
type SSHKey struct {
	ID     Number `json:"id"`
	UserID Number `json:"user_id"`
	// Key and PublicKey hold the same public key; either may be missing.
	Key       Text   `json:"key,omitempty"`
	PublicKey Text   `json:"public_key,omitempty"`
	CreatedAt Number `json:"created_at"`
	DeletedAt Number `json:"deleted_at"`
}

// SSHKeyResponse is the answer to POST /api/v0/ssh/.
type SSHKeyResponse struct {
	Answer
	Key SSHKey `json:"key"`
}

// SSHKeyList is the answer to GET /api/v0/ssh/, a bare array, and the
// "ssh_keys" of GET /api/v0/instances/{id}/ssh/, a string that holds the JSON
// of an array. It encodes as an array.
type SSHKeyList []SSHKey

// UnmarshalJSON reads an array or a string that holds one, and fails for other
// shapes. Null and the empty string are an empty list.
func (l *SSHKeyList) UnmarshalJSON(data []byte) error {
	*l = SSHKeyList{}
	text := []byte(scalarText(data))
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	var keys []SSHKey
	if err := json.Unmarshal(text, &keys); err != nil {
		return err
	}
	*l = append(*l, keys...)
	return nil
}

// InstanceSSHKeys is the answer to GET /api/v0/instances/{id}/ssh/.
type InstanceSSHKeys struct {
	Answer
	// SSHKeys decodes the JSON string of the wire.
	SSHKeys SSHKeyList `json:"ssh_keys"`
}

// MarshalJSON writes ssh_keys as a string that holds JSON, as the platform does.
func (k InstanceSSHKeys) MarshalJSON() ([]byte, error) {
	inner, err := json.Marshal(append([]SSHKey{}, k.SSHKeys...))
	if err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		Answer
		SSHKeys string `json:"ssh_keys"`
	}{k.Answer, string(inner)})
}

// GPUNames is the answer to GET /api/v0/gpu_names/unique/.
type GPUNames struct {
	GPUNames []string `json:"gpu_names"`
}
