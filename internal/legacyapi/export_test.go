package legacyapi

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
