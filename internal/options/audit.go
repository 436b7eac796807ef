package options

import (
	"errors"
	"flag"
	"strconv"
	"time"
)

// saltVariable is the one name that the salt has, in the environment, in .env and
// in the Secret. It is no flag: flags show in the list of processes.
const saltVariable = "AUDIT_SALT"

// Audit holds the settings of an audit log.
type Audit struct {
	// Dir is the directory of the files; empty writes records into the program's
	// log, unsigned.
	Dir string
	// Salt is the value of AUDIT_SALT; it never shows.
	Salt string `json:"-"`
	// RotateBytes and RotateAfter begin a new file, Retention deletes old ones.
	RotateBytes            int64
	RotateAfter, Retention time.Duration
	// HeadNamespace is where the head is published; empty is the namespace of the
	// lease, or the pod's own.
	HeadNamespace string
	// HeadPeriod is the time between two publications.
	HeadPeriod time.Duration
}

// auditFlags binds the settings of an audit log to their flags.
func auditFlags(flags *flag.FlagSet, a *Audit) {
	const (
		rotateBytes = 16 << 20
		day         = 24 * time.Hour
		retention   = 90 * day
		headPeriod  = 30 * time.Second
	)
	flags.StringVar(&a.Dir, "audit-dir", "", "directory of the audit log, signed with $"+saltVariable+"; by default records go into the program's log, unsigned")
	flags.Int64Var(&a.RotateBytes, "audit-rotate-bytes", rotateBytes, "size from which a new audit file is begun")
	flags.DurationVar(&a.RotateAfter, "audit-rotate-after", day, "age from which a new audit file is begun")
	flags.DurationVar(&a.Retention, "audit-retention", retention, "how long audit records are kept")
	flags.StringVar(&a.HeadNamespace, "audit-head-namespace", "", "namespace of the ConfigMap with the head of the audit log; by default that of the lease, or the pod's own")
	flags.DurationVar(&a.HeadPeriod, "audit-head-period", headPeriod, "time between two publications of the head")
}

func (a *Audit) readSalt(lookup LookupEnv) { a.Salt, _ = lookup(saltVariable) }

func (a *Audit) validate() error {
	const (
		leastBytes = 64 << 10
		leastAge   = time.Minute
	)
	var failures []error
	if a.RotateBytes < leastBytes {
		failures = append(failures, fault("audit-rotate-bytes", strconv.FormatInt(a.RotateBytes, 10), "use "+strconv.Itoa(leastBytes)+" or more"))
	}
	for name, value := range map[string]time.Duration{"audit-rotate-after": a.RotateAfter, "audit-retention": a.Retention} {
		if value < leastAge {
			failures = append(failures, fault(name, value.String(), "use "+leastAge.String()+" or more"))
		}
	}
	if a.HeadPeriod < time.Second {
		failures = append(failures, fault("audit-head-period", a.HeadPeriod.String(), "use a second or more"))
	}
	return errors.Join(failures...)
}
