package controllers

import "testing"

// TestAKeyWorksWithoutItsQuotes: "kubectl create secret --from-env-file" keeps the
// quotes of a .env, and Vast.ai would call the key wrong.
func TestAKeyWorksWithoutItsQuotes(t *testing.T) {
	for stored, want := range map[string]string{
		"k-123": "k-123", `"k-123"`: "k-123", " 'k-123'\n": "k-123", `"k-123`: `"k-123`, `k"123"`: `k"123"`,
	} {
		s := newStage(t, testAccount(), keySecret(stored))
		got, _, problem := s.account.readCredentials(t.Context(), testAccount())
		if problem != nil || got != want {
			t.Errorf("a key that is stored as %q is read as %q (%v), want %q", stored, got, problem, want)
		}
	}
	for _, empty := range []string{"", " ", `""`, "'"} {
		s := newStage(t, testAccount(), keySecret(empty))
		key, _, problem := s.account.readCredentials(t.Context(), testAccount())
		if want := empty == "'"; (problem == nil) != want {
			t.Errorf("a key that is stored as %q is read as %q (%v)", empty, key, problem)
		}
	}
}
