package main

// auditGates keep the audit log whole, and secrets out of it.
func auditGates() []Gate {
	const secrets = "TestNoSecretIsWritten"
	return []Gate{
		{"audit-route-without-query", "I8", "a key in a query becoming part of an audit record", "TestGoldenRecord", never()},
		{"audit-secret-names", "I8", "the value of a key, token or password becoming part of an audit record", secrets, never()},
		{"audit-registered-secrets", "I8", "a secret that we know becoming part of an audit record", secrets, skip()},
		{"audit-synced-before-the-answer", "I2", "a rent whose record a loss of power takes away", "TestNothingIsAcknowledgedWithoutItsSync", never()},
		{"audit-cut-off-end-is-kept", "I2", "the proof that records were cut off being written over", "TestCutOffEndIsKept", never()},
	}
}
