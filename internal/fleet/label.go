package fleet

import (
	"fmt"
	"strconv"
	"strings"
)

// labelVersion starts every label of ours, so that a later form can be told apart.
const labelVersion = "wp1"

// Label ties a rental to the attempt that made it:
// "wp1.<installation>.<instance uid>.<attempt>", at most 60 characters. It is
// not a secret and no proof of ownership.
type Label struct {
	// Installation is the id of this installation, 8 characters.
	Installation string
	// InstanceUID is the UID of the WarmInstance.
	InstanceUID string
	// Attempt numbers the rent attempts of one WarmInstance from 1.
	Attempt int32
}

// String formats the label as it is sent to Vast.ai.
func (l Label) String() string {
	return fmt.Sprintf("%s.%s.%s.%d", labelVersion, l.Installation, l.InstanceUID, l.Attempt)
}

// ParseLabel reads a label of ours. It returns false for any other text, one
// that only resembles it ("…01") included: an attempt has exactly one label.
func ParseLabel(text string) (Label, bool) {
	const parts = 4
	fields := strings.Split(text, ".")
	//warmpool:gate label-is-ours
	if len(fields) != parts || fields[0] != labelVersion || fields[1] == "" || fields[2] == "" {
		return Label{}, false
	}
	attempt, err := strconv.ParseInt(fields[3], 10, 32)
	//warmpool:gate label-has-an-attempt
	if err != nil || attempt < 1 || strconv.FormatInt(attempt, 10) != fields[3] {
		return Label{}, false
	}
	return Label{Installation: fields[1], InstanceUID: fields[2], Attempt: int32(attempt)}, true
}
