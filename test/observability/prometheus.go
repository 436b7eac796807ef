package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/warmpool-dev/warmpool/internal/localplane"
	"github.com/warmpool-dev/warmpool/internal/process"
)

// prometheus is a running Prometheus.
type prometheus struct {
	process *process.Process
	url     string
}

// configuration scrapes what the files name, every two seconds.
const configuration = `global: {scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 2s}
rule_files: [%q]
scrape_configs:
- job_name: warmpool
  honor_labels: true
  file_sd_configs: [{files: [%q, %q], refresh_interval: 1s}]
`

// startPrometheus starts Prometheus with a copy of the rules.
func startPrometheus(ctx context.Context, s *stage, rules *ruleFile) (*prometheus, error) {
	copied, config := filepath.Join(s.work, "rules.yaml"), filepath.Join(s.work, "prometheus.yaml")
	text := fmt.Sprintf(configuration, copied, filepath.Join(s.root, ".run", "prometheus.json"), s.extraTargets())
	if err := errors.Join(rules.write(copied), os.WriteFile(config, []byte(text), 0o600)); err != nil {
		return nil, err
	}
	ports, err := localplane.FreePorts(ctx, 1)
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort(localplane.Loopback, ports[0])
	started, err := process.Start(&process.Spec{
		Name: "prometheus", Program: filepath.Join(s.root, "bin", "prometheus", "prometheus"), Directory: s.work,
		Environment: os.Environ(), Log: filepath.Join(s.work, "prometheus.log"),
		Arguments: []string{"--config.file=" + config, "--storage.tsdb.path=" + filepath.Join(s.work, "data"), "--web.listen-address=" + address},
	})
	if err != nil {
		return nil, err
	}
	p := &prometheus{process: started, url: "http://" + address}
	return p, s.until(ctx, time.Minute, func(ctx context.Context) string {
		if !started.IsRunning() {
			return started.Obituary().Error()
		}
		if err := p.get(ctx, "/api/v1/status/buildinfo", nil, nil); err != nil {
			return err.Error()
		}
		return ""
	})
}

// get asks the API; into gets what is under "data", unless nil.
func (p *prometheus) get(ctx context.Context, path string, values url.Values, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path+"?"+values.Encode(), http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("asking Prometheus: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read to its end
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("asking Prometheus: %w", err)
	}
	var answer struct {
		Status string          `json:"status"`
		Error  string          `json:"error"`
		Data   json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Status != "success" {
		return fmt.Errorf("asking Prometheus: it answered %s: %s", response.Status, answer.Error)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer.Data, into)
}

// firing lists the alerts that fire now, with the labels of one of each.
func (p *prometheus) firing(ctx context.Context) (map[string]map[string]string, error) {
	var answer struct {
		Alerts []struct {
			State  string            `json:"state"`
			Labels map[string]string `json:"labels"`
		} `json:"alerts"`
	}
	if err := p.get(ctx, "/api/v1/alerts", nil, &answer); err != nil {
		return nil, err
	}
	names := map[string]map[string]string{}
	for _, alert := range answer.Alerts {
		if alert.State == "firing" {
			names[alert.Labels["alertname"]] = alert.Labels
		}
	}
	return names, nil
}

// hadData is true when a query had a value at any time since a moment.
func (p *prometheus) hadData(ctx context.Context, expr string, since, now time.Time) (bool, error) {
	seconds := func(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
	var answer struct {
		Result []struct {
			Values [][2]any `json:"values"`
		} `json:"result"`
	}
	values := url.Values{"query": {expr}, "start": {seconds(since)}, "end": {seconds(now)}, "step": {"5"}}
	if err := p.get(ctx, "/api/v1/query_range", values, &answer); err != nil {
		return false, err
	}
	for _, series := range answer.Result {
		for _, value := range series.Values {
			text, isText := value[1].(string)
			if number, err := strconv.ParseFloat(text, 64); isText && err == nil && !math.IsNaN(number) {
				return true, nil
			}
		}
	}
	return false, nil
}
