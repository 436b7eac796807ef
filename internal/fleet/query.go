package fleet

import "fmt"

// Key returns a text that is equal for equal queries. It is for maps and logs,
// not for people.
func (q *OfferQuery) Key() string { return fmt.Sprintf("%+v", *q) }
