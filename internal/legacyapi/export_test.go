package legacyapi

import "net/url"

// Route is one route for tests in the external package.
type Route struct {
	Method, Path          string
	NeedsKey, APIKeyFirst bool
	LocalOnly, Audited    bool
	OptionalKey           bool
}

// Table shows every route to tests, so that none goes without its cases.
func Table() []Route {
	var shown []Route
	for _, entry := range table() {
		shown = append(shown, Route{
			Method: entry.method, Path: entry.path, Audited: entry.action != "",
			NeedsKey:    entry.access == adminKey || entry.access == prewarmKey || entry.access == localAdmin,
			APIKeyFirst: entry.access == prewarmKey, OptionalKey: entry.access == optionalKey,
			LocalOnly: entry.access == localhost || entry.access == localAdmin,
		})
	}
	return shown
}

// DecodeBody lets tests read a body.
func DecodeBody(contentType string, text []byte) (map[string]any, error) {
	return decodeBody(contentType, text)
}

// Folded, HasDots, IsLocalName and LogQuery let tests fuzz what reads addresses.
func Folded(path string) string { return folded(path) }

// HasDots is hasDots.
func HasDots(path string) bool { return hasDots(path) }

// IsLocalName is isLocalName.
func IsLocalName(host string) bool { return isLocalName(host) }

// LogQuery is logQuery.
func LogQuery(query url.Values) (limit, offset int, err error) {
	read, err := logQuery(query)
	return read.Limit, read.Offset, err
}

// Settings reads a body of config, size and id; it returns every error.
func Settings(given map[string]any) []error {
	_, config := settingsOf(given)
	_, size := sizeOf(given)
	_, id := terminateID(given)
	_, seconds := claimSeconds(given)
	return []error{config, size, id, seconds}
}
