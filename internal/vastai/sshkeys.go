package vastai

import (
	"context"
	"net/http"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

const sshKeysPath = "/api/v0/ssh/"

// SSHKeys returns the public keys of the account, without deleted ones.
// Source: GET /api/v0/ssh/.
func (c *Client) SSHKeys(ctx context.Context) ([]fleet.SSHKey, error) {
	var list schema.SSHKeyList
	request := &call{
		endpoint: EndpointSSHKeys, operation: "ssh keys", method: http.MethodGet, path: sshKeysPath, into: &list,
	}
	if err := c.read(ctx, request); err != nil {
		if fleet.KindOf(err) == fleet.KindNotFound {
			// This is how the platform says that there is none.
			return []fleet.SSHKey{}, nil
		}
		return nil, err
	}
	keys := make([]fleet.SSHKey, 0, len(list))
	for i := range list {
		if list[i].DeletedAt.IsSet() {
			continue
		}
		key, err := sshKeyFromSchema(&list[i])
		if err != nil {
			return nil, c.invalid(request, err.Error())
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// AddSSHKey registers a public key with the account. It is not retried.
// Source: POST /api/v0/ssh/.
func (c *Client) AddSSHKey(ctx context.Context, publicKey string) (fleet.SSHKey, error) {
	var answer schema.SSHKeyResponse
	request := &call{
		endpoint: EndpointAddSSHKey, operation: "add ssh key", method: http.MethodPost, path: sshKeysPath,
		body: schema.SSHKeyRequest{SSHKey: schema.Text(publicKey)}, into: &answer,
	}
	if err := c.write(ctx, request); err != nil {
		return fleet.SSHKey{}, err
	}
	key, err := sshKeyFromSchema(&answer.Key)
	if err != nil {
		return fleet.SSHKey{}, c.invalid(request, err.Error())
	}
	return key, nil
}

// AttachSSHKey puts a public key on one rental; keys of the account that were
// added later do not reach it for certain. It is not retried.
// Source: POST /api/v0/instances/{id}/ssh/.
func (c *Client) AttachSSHKey(ctx context.Context, rentalID int64, publicKey string) error {
	return c.write(ctx, &call{
		endpoint: EndpointAttachSSHKey, operation: "attach ssh key", method: http.MethodPost,
		path: instancePath(rentalID) + "ssh/", body: schema.SSHKeyRequest{SSHKey: schema.Text(publicKey)},
	})
}
