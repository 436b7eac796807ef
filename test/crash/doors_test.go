package crash

import (
	"bytes"
	"context"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"

	"k8s.io/client-go/rest"
)

// doors are the two proxies between one operator and the world.
type doors struct {
	cluster, vast *httptest.Server
	// toVast is the connection to the simulator.
	toVast *http.Transport
}

// newDoors opens proxies to a cluster, with the connection's own rights, and
// to a Vast.ai. All requests pass the gate.
func newDoors(through *gate, cluster *rest.Config, vastURL string) (*doors, error) {
	transport, err := rest.TransportFor(cluster)
	if err != nil {
		return nil, err
	}
	toCluster, err := url.Parse(cluster.Host)
	if err != nil {
		return nil, err
	}
	toVast, err := url.Parse(vastURL)
	if err != nil {
		return nil, err
	}
	d := &doors{toVast: &http.Transport{}}
	d.cluster = httptest.NewServer(&door{doors: d, gate: through, recognise: clusterStep, forward: proxyTo(toCluster, transport)})
	d.vast = httptest.NewServer(&door{
		doors: d, gate: through, forward: proxyTo(toVast, d.toVast),
		recognise: func(request *http.Request, _ []byte) step { return vastStep(request) },
	})
	return d, nil
}

// close ends the proxies; the processes behind them must be gone.
func (d *doors) close() {
	d.cluster.CloseClientConnections()
	d.vast.CloseClientConnections()
	d.cluster.Close()
	d.vast.Close()
	d.toVast.CloseIdleConnections()
}

// proxyTo forwards and flushes at once, because watches are endless answers.
func proxyTo(target *url.URL, transport http.RoundTripper) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: transport, FlushInterval: -1,
		// A process that was killed gave up its requests: that is the point.
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// door is one of the proxies.
type door struct {
	doors     *doors
	gate      *gate
	recognise func(*http.Request, []byte) step
	forward   http.Handler
}

// ServeHTTP forwards a request, unless it springs a trap.
func (d *door) ServeHTTP(out http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the process died while it was sending
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	s := d.recognise(request, body)
	s.from = d.doors
	sprung := d.gate.arrive(&s)
	if sprung == nil {
		d.forward.ServeHTTP(&statusNoted{ResponseWriter: out, note: func(status int) { d.note(&s, status) }}, request)
		return
	}
	defer close(sprung.done)
	if sprung.after {
		kept := d.carryOut(&s, request)
		sprung.spring()
		if sprung.answer {
			copyAnswer(out, kept)
			return
		}
		panic(http.ErrAbortHandler)
	}
	sprung.spring()
	if !sprung.answer {
		panic(http.ErrAbortHandler)
	}
	copyAnswer(out, d.carryOut(&s, request))
}

// carryOut forwards a request and keeps the answer. It is carried out whatever
// becomes of the process that sent it.
func (d *door) carryOut(s *step, request *http.Request) *httptest.ResponseRecorder {
	kept := httptest.NewRecorder()
	d.forward.ServeHTTP(kept, request.WithContext(context.WithoutCancel(request.Context())))
	d.note(s, kept.Code)
	return kept
}

func (d *door) note(s *step, status int) {
	if status >= http.StatusOK && status < http.StatusMultipleChoices {
		d.gate.accepted(s)
	}
}

func copyAnswer(out http.ResponseWriter, kept *httptest.ResponseRecorder) {
	maps.Copy(out.Header(), kept.Header())
	out.WriteHeader(kept.Code)
	_, _ = out.Write(kept.Body.Bytes()) // the process may have gone meanwhile
}

// statusNoted looks at the status of an answer before the process sees it.
type statusNoted struct {
	http.ResponseWriter
	note func(status int)
}

// WriteHeader implements http.ResponseWriter.
func (w *statusNoted) WriteHeader(status int) {
	w.note(status)
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets the proxy flush.
func (w *statusNoted) Unwrap() http.ResponseWriter { return w.ResponseWriter }
