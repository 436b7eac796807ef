package main

import (
	"crypto/tls"
	"fmt"

	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// secure reads the certificate and the key of the API; none of the two is HTTP.
func secure(c *simulator.Config, pair [2]string) error {
	if pair[0] == "" && pair[1] == "" {
		return nil
	}
	certificate, err := tls.LoadX509KeyPair(pair[0], pair[1])
	if err != nil {
		return fmt.Errorf("reading --tls-cert and --tls-key: %w", err)
	}
	c.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	return nil
}

// hasten divides the durations of lives and of boots.
func hasten(c *simulator.Config, speed float64) error {
	const most = 1000
	if speed < 1 || speed > most {
		return fmt.Errorf("--lives-speed=%v: use 1 to %d", speed, most)
	}
	if speed == 1 {
		return nil
	}
	life := simulator.DefaultProvisioning().Hastened(speed)
	c.Provisioning = &life
	backend := simulator.NewComfyBackend()
	backend.Timings = backend.Timings.Hastened(speed)
	c.Backend = backend
	return nil
}
