package simulator

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

const (
	// logsPath is where uploaded logs are, on this server.
	logsPath = "/logs/"
	// readsBeforeUpload is how often a result answers 403 before it is there.
	readsBeforeUpload = 2
	defaultTail       = 1000
	// logsKept is how long a result can be read.
	logsKept = time.Hour
)

// logUpload is a log that was requested.
type logUpload struct {
	text  string
	reads int
	never bool
}

// handleLogs answers PUT /instances/request_logs/{id}/.
func handleLogs(w *world, c *call) answer {
	var body schema.LogsRequest
	if reply, ok := decode(c, &body); !ok {
		return reply
	}
	r := w.own(c, c.id)
	if r == nil {
		return failure(http.StatusNotFound, "invalid_id", "Invalid instance id.")
	}
	tail, err := strconv.Atoi(string(body.Tail))
	if err != nil || tail < 0 {
		tail = defaultTail
	}
	lines := r.logLines(tail, body.DaemonLogs == trueText)
	if body.Filter != "" {
		kept := lines[:0]
		for _, line := range lines {
			if strings.Contains(line, string(body.Filter)) {
				kept = append(kept, line)
			}
		}
		lines = kept
	}
	const tokenDigits = 32
	token := w.newHex(tokenDigits)
	upload := &logUpload{never: w.hitCall(c, FaultNoLogs, EndpointLogs) != nil}
	if len(lines) > 0 {
		upload.text = strings.Join(lines, "\n") + "\n"
	}
	w.logs[token] = upload
	w.after(logsKept, func() { delete(w.logs, token) })
	url := w.baseURL + logsPath + token
	return okAnswer(object{"success": true, "result_url": url, "msg": "Logs will be uploaded to " + url})
}

// logLines returns what the container wrote, or the host's daemon.
func (r *rental) logLines(tail int, daemon bool) []string {
	var lines []string
	switch {
	case daemon:
		lines = append(lines, fmt.Sprintf("daemon: contract %d on machine %d", r.id, r.machine.id))
		if r.statusMsg != nil {
			lines = append(lines, strings.TrimSpace(*r.statusMsg))
		}
	case r.container != nil && r.container.instance != nil:
		lines = r.container.instance.Logs(tail)
	case r.bootError != "":
		lines = append(lines, r.bootError)
	}
	return lines[max(0, len(lines)-tail):]
}

// handleLogsResult answers the result of a log request, without a key: 403
// until it is there.
func handleLogsResult(w *world, c *call) answer {
	upload := w.logs[c.request.PathValue("token")]
	if upload == nil {
		return textAnswer(http.StatusNotFound, "NoSuchKey")
	}
	upload.reads++
	if upload.never || upload.reads <= readsBeforeUpload {
		return answer{
			status: http.StatusForbidden, contentType: "application/xml",
			body: []byte("<Error><Code>AccessDenied</Code></Error>"),
		}
	}
	return textAnswer(http.StatusOK, upload.text)
}
