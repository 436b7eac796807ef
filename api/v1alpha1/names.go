package v1alpha1

// Labels that the controllers set.
const (
	// LabelPool is on every WarmInstance and its Secret: the name of its pool.
	LabelPool = "warmpool.dev/pool"
	// LabelAccount is on every WarmInstance: the name of its account.
	LabelAccount = "warmpool.dev/account"
	// LabelClaim is on the Secret of a WarmClaim: the name of the claim.
	LabelClaim = "warmpool.dev/claim"
)

// Annotations that people set, or the sidecar for them.
const (
	// AnnotationAbandonRental is put on a WarmInstance by a person who takes over
	// the rental it names (the number in status.rental.id): the object is let go
	// without waiting for the rental's end, which then bills on unseen.
	AnnotationAbandonRental = "warmpool.dev/abandon-rental"
	// AnnotationTunnelURL is put on a WarmInstance by the sidecar: the address of a tunnel that a
	// script on the machine has reported, for people and clients of the legacy API.
	AnnotationTunnelURL = "warmpool.dev/tunnel-url"
)

// Finalizers that hold an object until its money is accounted for.
const (
	// FinalizerTerminate holds a WarmInstance until its rental is confirmed gone (I6).
	FinalizerTerminate = "warmpool.dev/terminate"
	// FinalizerPool holds a WarmPool until its last WarmInstance is gone.
	FinalizerPool = "warmpool.dev/drain-pool"
	// FinalizerAccount holds a VastAccount while any WarmInstance needs its credentials.
	FinalizerAccount = "warmpool.dev/account-in-use"
	// FinalizerClaim holds a WarmClaim until its instance is released.
	FinalizerClaim = "warmpool.dev/release-claim"
)

// Keys of the Secret that belongs to one WarmInstance.
const (
	// SecretKeyWebPassword holds the instance's own random password.
	SecretKeyWebPassword = "WEB_PASSWORD"
)

// Keys of the Secret that belongs to one WarmClaim.
const (
	// SecretKeyClaimURL holds the URL of the instance's ComfyUI.
	SecretKeyClaimURL = "url"
	// SecretKeyClaimUsername holds the user name for those who cannot send a bearer token and
	// send the token as a password (HTTP Basic).
	SecretKeyClaimUsername = "username"
	// SecretKeyClaimToken holds the bearer token, which is the password of the instance.
	SecretKeyClaimToken = "token"
	// SecretKeyClaimCertificate holds the SHA-256 fingerprint of the only certificate that
	// belongs to the instance, in hexadecimal; absent when certificates are not pinned.
	SecretKeyClaimCertificate = "certificateSHA256"
)
