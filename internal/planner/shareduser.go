package planner

import (
	"cmp"
	"time"
)

// AccountIdentity is one VastAccount and the Vast.ai user of its key.
type AccountIdentity struct {
	// Key is "namespace/name".
	Key string
	// UserID is the user; 0 when it is not known.
	UserID int64
	// BaseURL is where the user is known by that number, when BaseURLKnown.
	BaseURL      string
	BaseURLKnown bool
	// CreatedAt is the object's creation.
	CreatedAt time.Time
}

// SharedUser returns the key of the oldest other account object with a key of the
// same user, if that one is older than self; empty otherwise. Two objects over one
// credit would each allow their whole ceiling at the same time, so exactly one of
// them may rent (I1): the order is total.
func SharedUser(self *AccountIdentity, accounts []AccountIdentity) string {
	first := self
	for k := range accounts {
		other := &accounts[k]
		//warmpool:gate one-account-per-user
		if self.isUserOf(other) && isOlder(other, first) {
			first = other
		}
	}
	if first.Key == self.Key {
		return ""
	}
	return first.Key
}

// isUserOf is true when two objects may spend one credit: the users have one
// number, and nobody knows that they are numbered by two different APIs.
func (a *AccountIdentity) isUserOf(other *AccountIdentity) bool {
	apart := a.BaseURLKnown && other.BaseURLKnown && a.BaseURL != other.BaseURL
	return other.UserID != 0 && other.UserID == a.UserID && !apart
}

// isOlder is a total order.
func isOlder(a, b *AccountIdentity) bool {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.Key, b.Key)) < 0
}
