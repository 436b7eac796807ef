package legacyapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
)

// tokenKeys are the services of old and their keys in the Secret.
func tokenKeys() map[string]string {
	return map[string]string{"vastai": keyVast, "huggingface": keyHuggingFace, "civitai": keyCivitai}
}

// tokensBody says which tokens are set.
type tokensBody struct {
	HuggingFace bool `json:"huggingface"`
	Civitai     bool `json:"civitai"`
	VastAI      bool `json:"vastai"`
}

func tokensOf(values map[string]string) tokensBody {
	return tokensBody{HuggingFace: values[keyHuggingFace] != "", Civitai: values[keyCivitai] != "", VastAI: values[keyVast] != ""}
}

// checkTokens says which tokens are set.
func (s *Server) checkTokens(ctx context.Context, _ *call) answer {
	values, err := s.keys.read(ctx)
	if err != nil {
		return s.trouble(err)
	}
	return ok(tokensOf(values))
}

// setTokens puts tokens into the Secret. What is empty or absent stays as it is.
func (s *Server) setTokens(ctx context.Context, c *call) answer {
	changes := map[string]string{}
	for service, key := range tokenKeys() {
		token, err := c.fields.secret(service)
		if err != nil {
			return refuse(http.StatusBadRequest, "%s", err)
		}
		if token != "" {
			changes[key] = token
		}
	}
	if err := s.changeSecret(ctx, changes); err != nil {
		return s.trouble(err)
	}
	values, err := s.keys.read(ctx)
	if err != nil {
		return s.trouble(err)
	}
	return ok(tokensOf(values)).with(changedNames(changes))
}

// changedNames says which keys of the Secret were changed, and not to what.
func changedNames(changes map[string]string) audit.Details {
	names := []string{}
	for name := range changes {
		names = append(names, name)
	}
	slices.Sort(names)
	return audit.Details{"changed": audit.Text(strings.Join(names, " "))}
}

// changeSecret writes values into the Secret; they are in force at once.
func (s *Server) changeSecret(ctx context.Context, changes map[string]string) error {
	if len(changes) == 0 {
		return nil
	}
	data := map[string][]byte{}
	for name, value := range changes {
		s.options.Audit.RegisterSecrets(value)
		data[name] = []byte(value)
	}
	patch, err := json.Marshal(map[string]any{"data": data})
	if err != nil {
		return fmt.Errorf("encoding the change of a Secret: %w", err)
	}
	secret := &corev1.Secret{}
	secret.Namespace, secret.Name = s.options.Pool.Namespace, s.options.Secret
	defer s.keys.forget()
	if err := s.options.Client.Patch(ctx, secret, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(FieldManager)); err != nil {
		return fmt.Errorf("changing Secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	return nil
}

// verdict is what is known about one token.
type verdict struct {
	Valid    bool    `json:"valid"`
	Error    string  `json:"error,omitempty"`
	TestedAt *string `json:"testedAt,omitempty"`
	User     string  `json:"user,omitempty"`
}

// validationBody is the answer of validate-tokens and update-token.
type validationBody struct {
	Success    bool       `json:"success"`
	Validation validation `json:"validation"`
}

type validation struct {
	VastAI      verdict `json:"vastai"`
	HuggingFace verdict `json:"huggingface"`
	Civitai     verdict `json:"civitai"`
}

// validateTokens says which tokens are good.
func (s *Server) validateTokens(ctx context.Context, _ *call) answer {
	found, err := s.validateAll(ctx)
	if err != nil {
		return s.trouble(err)
	}
	return ok(validationBody{Success: true, Validation: found})
}

// updateToken puts one token into the Secret and says which are good.
func (s *Server) updateToken(ctx context.Context, c *call) answer {
	service, serviceErr := c.fields.text("service")
	token, tokenErr := c.fields.secret("token")
	switch {
	case serviceErr != nil:
		return refuse(http.StatusBadRequest, "%s", serviceErr)
	case tokenErr != nil:
		return refuse(http.StatusBadRequest, "%s", tokenErr)
	case service == "" || token == "":
		return refuse(http.StatusBadRequest, "service and token required")
	}
	key, known := tokenKeys()[strings.ToLower(service)]
	if !known {
		return refuse(http.StatusBadRequest, "Unknown service: %s", clipped(service))
	}
	changes := map[string]string{key: token}
	if err := s.changeSecret(ctx, changes); err != nil {
		return s.trouble(err)
	}
	found, err := s.validateAll(ctx)
	if err != nil {
		return s.trouble(err).with(changedNames(changes))
	}
	return ok(validationBody{Success: true, Validation: found}).with(changedNames(changes))
}

func (s *Server) validateAll(ctx context.Context) (validation, error) {
	values, err := s.keys.read(ctx)
	if err != nil {
		return validation{}, err
	}
	vast, err := s.vastVerdict(ctx, values[keyVast])
	if err != nil {
		return validation{}, err
	}
	return validation{
		VastAI:      vast,
		HuggingFace: s.ask(ctx, values[keyHuggingFace], 30, "https://huggingface.co/api/whoami-v2"),
		Civitai:     s.ask(ctx, values[keyCivitai], 32, "https://civitai.com/api/v1/models?limit=1"),
	}, nil
}

// vastVerdict repeats what the operator found: this server never calls Vast.ai.
func (s *Server) vastVerdict(ctx context.Context, token string) (verdict, error) {
	if token == "" {
		return verdict{Error: notConfigured}, nil
	}
	st, err := s.gather(ctx)
	if err != nil {
		return verdict{}, err
	}
	var account warmpool.VastAccount
	key := types.NamespacedName{Namespace: st.pool.Namespace, Name: st.pool.Spec.AccountRef.Name}
	if err := s.options.Client.Get(ctx, key, &account); err != nil {
		return verdict{}, fmt.Errorf("reading the account: %w", err)
	}
	condition := meta.FindStatusCondition(account.Status.Conditions, warmpool.ConditionCredentialsValid)
	if condition == nil {
		return verdict{Error: "The operator has not verified the key yet; ask again in a minute"}, nil
	}
	if condition.Status == "True" {
		return verdict{Valid: true, TestedAt: stampOrNull(&condition.LastTransitionTime.Time)}, nil
	}
	return verdict{Error: condition.Message}, nil
}

// notConfigured is the verdict on no token.
const notConfigured = "Token not configured"

// wrongForm is the verdict on a token that need not be sent anywhere.
func wrongForm(token string, least int) (verdict, bool) {
	lower := strings.ToLower(token)
	switch {
	case token == "":
		return verdict{Error: notConfigured}, true
	case len(token) < least:
		return verdict{Error: fmt.Sprintf("Token too short (min %d chars)", least)}, true
	case strings.Contains(lower, "your_") || strings.Contains(lower, "placeholder") || strings.Contains(lower, "changeme"):
		return verdict{Error: "Token appears to be a placeholder"}, true
	default:
		return verdict{}, false
	}
}

// ask shows a token to the service that it is for. It goes into a header, never
// into the address.
func (s *Server) ask(ctx context.Context, token string, least int, address string) verdict {
	if found, wrong := wrongForm(token, least); wrong {
		return found
	}
	const patience, maxAnswer = 10 * time.Second, 64 << 10
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return verdict{Error: "API test failed: the address is wrong"}
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("User-Agent", "warmpool")
	response, err := s.options.Outside.RoundTrip(request)
	if err != nil {
		// The cause is logged, not shown: it may quote the request.
		s.log.V(1).Info("Asking about a token failed", "host", request.URL.Host, "error", err.Error())
		return verdict{Error: "API test failed: " + request.URL.Host + " does not answer"}
	}
	defer func() { _ = response.Body.Close() }() //nolint:errcheck // it was read as far as needed
	switch {
	case response.StatusCode == http.StatusUnauthorized:
		return verdict{Error: "Token authentication failed (401)"}
	case response.StatusCode != http.StatusOK:
		return verdict{Error: fmt.Sprintf("API returned %d", response.StatusCode)}
	}
	var who struct {
		Name string `json:"name"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&who); err != nil {
		who.Name = "" // an answer without a name is as good
	}
	now := s.options.Clock.Now()
	return verdict{Valid: true, TestedAt: stampOrNull(&now), User: clipped(who.Name)}
}
