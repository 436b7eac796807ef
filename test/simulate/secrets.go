package simulate

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// secrets knows every secret of a schedule and looks for them where they must
// not be (I8).
type secrets struct {
	world *world

	mu     sync.Mutex
	pieces []string
	known  map[string]bool
	// clean are texts that were looked at since the last secret was added.
	clean map[string]bool
	wrong string
	home  []string
	other string
}

func newSecrets(w *world) *secrets {
	s := &secrets{world: w, known: map[string]bool{}, clean: map[string]bool{}}
	key := func(name string) string {
		dice := w.decide.fixed("key " + name)
		return fmt.Sprintf("%016x%016x%016x", dice.next(), dice.next(), dice.next())
	}
	s.home = []string{key("one"), key("two"), key("three")}
	s.other, s.wrong = key("other"), key("wrong")
	for _, secret := range append([]string{s.other, s.wrong}, s.home...) {
		s.add(secret)
	}
	return s
}

func (s *secrets) homeKeys() []string { return s.home }
func (s *secrets) foreignKey() string { return s.other }
func (s *secrets) wrongKey() string   { return s.wrong }

// piece is the length of the pieces that are looked for: a part of a secret must
// not show either.
const piece = 12

// add makes a secret known, in pieces.
func (s *secrets) add(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[secret] {
		return
	}
	s.known[secret] = true
	clear(s.clean)
	for start := 0; start+piece <= len(secret); start += piece {
		s.pieces = append(s.pieces, secret[start:start+piece])
	}
}

// isIn is true when a piece of a secret is in a text that people can read.
func (s *secrets) isIn(text string) bool {
	if len(text) < piece {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clean[text] {
		return false
	}
	if slices.ContainsFunc(s.pieces, func(piece string) bool { return strings.Contains(text, piece) }) {
		return true
	}
	s.clean[text] = true
	return false
}

// check looks for secrets in a text that people can read.
func (s *secrets) check(where, text string) {
	if s.isIn(text) {
		s.world.fail("I8", "a part of a secret shows in %s", where)
	}
}
