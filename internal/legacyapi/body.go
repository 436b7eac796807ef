package legacyapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const (
	// maxBody bounds the body of every route but the one to ComfyUI. The longest
	// legitimate one holds three tokens.
	maxBody = 64 << 10
	// maxField bounds one value.
	maxField = 4096
)

// errBadBody is why a body is not accepted. Neither it nor an error about a field
// repeats a value, which may be a secret in the wrong place.
var errBadBody = errors.New("the body cannot be read")

// fields are the top-level fields of a body: JSON values as encoding/json gives
// them with UseNumber, or texts of a form.
type fields map[string]any

// readBody reads a JSON object or a form. An empty body has no fields, and so
// has a body of another type, as in the legacy server.
func readBody(r *http.Request) (fields, error) {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("%w: it broke off", errBadBody)
	}
	if len(text) > maxBody {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", errTooLarge, maxBody)
	}
	return decodeBody(r.Header.Get("Content-Type"), text)
}

// errTooLarge is why a body was not read to its end.
var errTooLarge = errors.New("the body is too large")

// decodeBody decodes a body of a content type.
func decodeBody(contentType string, text []byte) (fields, error) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return fields{}, nil
	}
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind = "" // as if it had none
	}
	// "curl -d '{...}'" calls JSON a form; nobody means a form that starts so.
	isObject := text[0] == '{'
	switch {
	case kind == "application/json", strings.HasSuffix(kind, "+json"), kind == "application/x-www-form-urlencoded" && isObject:
		return decodeJSON(text)
	case kind == "application/x-www-form-urlencoded":
		return decodeForm(string(text))
	default:
		return fields{}, nil
	}
}

func decodeJSON(text []byte) (fields, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var found map[string]any
	if err := decoder.Decode(&found); err != nil {
		return nil, fmt.Errorf("%w: it is not a JSON object", errBadBody)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows the JSON object", errBadBody)
	}
	if found == nil {
		return fields{}, nil
	}
	return found, nil
}

func decodeForm(text string) (fields, error) {
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil, fmt.Errorf("%w: it is not a form", errBadBody)
	}
	found := fields{}
	for name, given := range values {
		if len(given) > 1 {
			return nil, fmt.Errorf("%w: %q is given twice", errBadBody, clipped(name))
		}
		found[name] = given[0]
	}
	return found, nil
}

// has is true for a field that is there and not null.
func (f fields) has(name string) bool { return f[name] != nil }

// text returns a text field; empty when it is not there.
func (f fields) text(name string) (string, error) {
	switch value := f[name].(type) {
	case nil:
		return "", nil
	case string:
		if len(value) > maxField {
			return "", fmt.Errorf("%s is longer than %d characters", name, maxField)
		}
		return strings.TrimSpace(value), nil
	default:
		return "", fmt.Errorf("%s must be a text", name)
	}
}

// secret returns a text field that can stand in an HTTP header.
func (f fields) secret(name string) (string, error) {
	text, err := f.text(name)
	if err != nil {
		return "", err
	}
	if strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return "", fmt.Errorf("%s holds spaces or characters that no token has", name)
	}
	return text, nil
}

// number returns a number, which may be a text of digits.
func (f fields) number(name string) (float64, error) {
	var text string
	switch value := f[name].(type) {
	case json.Number:
		text = value.String()
	case string:
		text = strings.TrimSpace(value)
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(number) || math.IsInf(number, 0) {
		return 0, fmt.Errorf("%s must be a number", name)
	}
	return number, nil
}

// integer returns a whole number from least to most.
func (f fields) integer(name string, least, most int32) (int32, error) {
	number, err := f.number(name)
	if err != nil || number != math.Trunc(number) || number < float64(least) || number > float64(most) {
		return 0, fmt.Errorf("%s must be a whole number from %d to %d", name, least, most)
	}
	return int32(number), nil
}

// boolean returns true or false, which may be a text or 1 and 0. Everything else
// is refused: the legacy server took the text "false" for true.
func (f fields) boolean(name string) (bool, error) {
	switch value := f[name].(type) {
	case bool:
		return value, nil
	case json.Number:
		return asBoolean(name, value.String())
	case string:
		return asBoolean(name, strings.ToLower(strings.TrimSpace(value)))
	default:
		return asBoolean(name, "")
	}
}

func asBoolean(name, text string) (bool, error) {
	switch text {
	case "true", "1", "on":
		return true, nil
	case "false", "0", "off":
		return false, nil
	default:
		return false, fmt.Errorf("%s must be true or false", name)
	}
}

// identifier returns an id of an instance in one form, whichever it came in:
// 123, "123", "123.0" and "C.123" are "123"; anything else stays as it is.
func (f fields) identifier(name string) (string, error) {
	var text string
	switch value := f[name].(type) {
	case nil:
		return "", nil
	case json.Number:
		text = value.String()
	case string:
		text = strings.TrimSpace(value)
	default:
		return "", fmt.Errorf("%s must be a number or a name", name)
	}
	const longest = 253
	if len(text) > longest {
		return "", fmt.Errorf("%s is longer than %d characters", name, longest)
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(text, "C."), ".0")
	if _, err := strconv.ParseInt(bare, 10, 64); err == nil {
		return bare, nil
	}
	return text, nil
}

// clipped is a text of a stranger, short enough for an answer.
func clipped(text string) string {
	const longest = 100
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return -1
		}
		return c
	}, strings.ToValidUTF8(text, ""))
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest]) + "…"
	}
	return text
}

// fieldFault says what a field must be.
func fieldFault(name, wanted string) error {
	return fmt.Errorf("%s must be %s", name, wanted)
}
