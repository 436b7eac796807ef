package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// errNoProcess is a container whose process cannot be found.
var errNoProcess = errors.New("its process is not among those of this machine")

// processOf finds the process of a program in a pod: the kernel names the pod's
// UID in the control group of the process.
func processOf(pod *corev1.Pod, program string) (int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("listing processes: %w", err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		group, groupErr := os.ReadFile(filepath.Join("/proc", entry.Name(), "cgroup"))
		name, nameErr := os.ReadFile(filepath.Join("/proc", entry.Name(), "comm"))
		if groupErr == nil && nameErr == nil && strings.TrimSpace(string(name)) == program && strings.Contains(string(group), string(pod.UID)) {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("finding %s of pod %s: %w", program, pod.Name, errNoProcess)
}

// killPod deletes a pod as one whose node has died: at once, without asking it.
func (c *cluster) killPod(ctx context.Context, name string) error {
	return c.clients.CoreV1().Pods(operatorNamespace).Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
}

// killProcess kills the manager in a pod, as the kernel does when memory runs out.
func (c *cluster) killProcess(ctx context.Context, name string) error {
	pod, err := c.clients.CoreV1().Pods(operatorNamespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading the pod: %w", err)
	}
	pid, err := processOf(pod, "manager")
	if err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// cutProvider drops what the managers send to the simulator and its instances,
// in the packet filter of each pod's network; mend lets it through again.
func (c *cluster) cutProvider(ctx context.Context, mend bool) error {
	service, err := c.clients.CoreV1().Services(vastNamespace).Get(ctx, "vastsim", metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading the simulator's Service: %w", err)
	}
	addresses := []string{service.Spec.ClusterIP}
	providers, err := c.pods(ctx, vastNamespace, "")
	if err != nil {
		return err
	}
	for k := range providers {
		addresses = append(addresses, providers[k].Status.PodIP)
	}
	pods, err := c.pods(ctx, operatorNamespace, managers)
	if err != nil {
		return err
	}
	deed := "-A"
	if mend {
		deed = "-D"
	}
	for k := range pods {
		pid, err := processOf(&pods[k], "manager")
		if err != nil {
			return err
		}
		for _, address := range addresses {
			if err := enterNetwork(ctx, pid, "iptables", deed, "OUTPUT", "-d", address, "-j", "DROP"); err != nil {
				return err
			}
		}
	}
	return nil
}

// enterNetwork runs a program in the network of a process.
func enterNetwork(ctx context.Context, pid int, words ...string) error {
	arguments := append([]string{"--net=/proc/" + strconv.Itoa(pid) + "/ns/net", "--"}, words...)
	output, err := exec.CommandContext(ctx, "nsenter", arguments...).CombinedOutput() //nolint:gosec // words of this file
	if err != nil {
		return fmt.Errorf("running %s in the network of process %d: %w: %s", strings.Join(words, " "), pid, err, strings.TrimSpace(string(output)))
	}
	return nil
}
