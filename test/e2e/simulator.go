package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// apiKey opens the simulated account and nothing else.
	apiKey                  = "e2e-sim-key-5f0c1b" //nolint:gosec // of the simulator, which makes no secret of it
	portVast, portVastAdmin = 8443, 9443
	// lives is how many times faster than on Vast.ai machines start: as good as at once.
	lives = 1000
	// certificateSecret has the certificate and its key.
	certificateSecret = "vastsim-tls" //nolint:gosec // the name of a Secret
	// authority is the name of the ConfigMap with the simulator's certificate.
	authority = "vast-authority"
)

// startSimulator starts the simulated Vast.ai as a pod, with a certificate for
// the address of its Service, and returns the URL of its API.
func (c *cluster) startSimulator(ctx context.Context, image string) (string, error) {
	labels := map[string]string{"app": "vastsim"}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: vastNamespace, Name: "vastsim"},
		Spec: corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{
			{Name: "api", Port: portVast, TargetPort: intstr.FromInt32(portVast)}, {Name: "admin", Port: portVastAdmin, TargetPort: intstr.FromInt32(portVastAdmin)},
		}},
	}
	if err := c.objects.Create(ctx, service); err != nil {
		return "", fmt.Errorf("making the simulator's Service: %w", err)
	}
	host := service.Spec.ClusterIP
	certificate, key, err := cert.GenerateSelfSignedCertKey(host, nil, nil)
	if err != nil {
		return "", fmt.Errorf("making the simulator's certificate: %w", err)
	}
	for _, object := range []client.Object{
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: vastNamespace, Name: certificateSecret}, Type: corev1.SecretTypeTLS,
			Data: map[string][]byte{corev1.TLSCertKey: certificate, corev1.TLSPrivateKeyKey: key},
		},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: authority}, Data: map[string]string{"ca.crt": string(certificate)}},
		simulatorDeployment(image, labels),
	} {
		if err := c.objects.Create(ctx, object); err != nil {
			return "", fmt.Errorf("making %T %s: %w", object, object.GetName(), err)
		}
	}
	return "https://" + net.JoinHostPort(host, strconv.Itoa(portVast)), nil
}

func simulatorDeployment(image string, labels map[string]string) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: vastNamespace, Name: "vastsim"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				AutomountServiceAccountToken: new(false),
				SecurityContext: &corev1.PodSecurityContext{
					RunAsNonRoot: new(true), FSGroup: new(int64(65532)), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
				},
				Containers: []corev1.Container{{
					Name: "vastsim", Image: image, ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{"/vastsim"},
					Args: []string{
						fmt.Sprintf("--listen=:%d", portVast), fmt.Sprintf("--admin-listen=:%d", portVastAdmin), "--instance-address=$(POD_IP)",
						"--tls-cert=/tls/tls.crt", "--tls-key=/tls/tls.key", "--key=" + apiKey, fmt.Sprintf("--lives-speed=%d", lives),
					},
					Env:            []corev1.EnvVar{{Name: "POD_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}}},
					ReadinessProbe: &corev1.Probe{PeriodSeconds: 2, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(portVastAdmin)}}},
					Resources:      corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("64Mi")}},
					SecurityContext: &corev1.SecurityContext{
						AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
					},
					VolumeMounts: []corev1.VolumeMount{{Name: "tls", MountPath: "/tls", ReadOnly: true}},
				}},
				Volumes: []corev1.Volume{{Name: "tls", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: certificateSecret}}}},
			}},
		},
	}
}

// simulatorReady waits until the simulator answers.
func (c *cluster) simulatorReady(ctx context.Context) (time.Duration, error) {
	return until(ctx, podPatience, func(ctx context.Context) (string, error) {
		var answer struct{ OK bool }
		return "", c.vast(ctx, "healthz", &answer)
	})
}
