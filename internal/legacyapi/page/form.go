package page

import (
	"net/url"
	"strconv"
	"strings"
)

// Names of the fields.
const (
	fieldSeen     = "seen"
	fieldName     = "name"
	fieldReplicas = "replicas"
	fieldMinutes  = "minutes"
	fieldHolder   = "holder"
)

// form is what a person asks for.
type form struct {
	act string
	// name of the instance or the claim.
	name string
	// replicas and minutes are -1 when they are no whole number, and minutes 0 when empty.
	replicas, minutes int
	holder            string
	// seen is the state that the confirmation was about.
	seen string
}

func readForm(act string, values url.Values) *form {
	minutes := 0
	if text := strings.TrimSpace(values.Get(fieldMinutes)); text != "" {
		minutes = wholeNumber(text)
	}
	return &form{
		act: act, name: values.Get(fieldName), seen: values.Get(fieldSeen),
		replicas: wholeNumber(values.Get(fieldReplicas)), minutes: minutes,
		holder: strings.TrimSpace(values.Get(fieldHolder)),
	}
}

// wholeNumber reads a number from 0 on, and returns -1 for anything else.
func wholeNumber(text string) int {
	const bits = 31
	number, err := strconv.ParseUint(strings.TrimSpace(text), 10, bits)
	if err != nil {
		return -1
	}
	return int(number)
}
