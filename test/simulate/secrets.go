package simulate

import (
	"fmt"
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
	wrong  string
	home   []string
	other  string
}

func newSecrets(w *world) *secrets {
	s := &secrets{world: w, known: map[string]bool{}}
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

// add makes a secret known, in pieces: a part of one must not show either.
func (s *secrets) add(secret string) {
	const piece = 12
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[secret] {
		return
	}
	s.known[secret] = true
	for start := 0; start+piece <= len(secret); start += piece {
		s.pieces = append(s.pieces, secret[start:start+piece])
	}
}

// check looks for secrets in a text that people can read.
func (s *secrets) check(where, text string) {
	s.mu.Lock()
	found := ""
	for _, piece := range s.pieces {
		if strings.Contains(text, piece) {
			found = piece
		}
	}
	s.mu.Unlock()
	if found != "" {
		s.world.fail("I8", "a part of a secret shows in %s", where)
	}
}
