package simulator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is a running simulation.
type Server struct {
	world  *world
	cancel context.CancelFunc
	api    *http.Server
	admin  *http.Server
	ssh    net.Listener
	urls   [2]string
	wg     sync.WaitGroup
	once   sync.Once
	err    error
}

// Start starts a simulation with both of its HTTP servers. It ends when the
// context ends or Close is called, whichever is first; Close must be called in
// any case. It returns an error for a configuration that makes no sense and
// for an address that cannot be listened on.
func Start(ctx context.Context, config Config) (*Server, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &Server{cancel: cancel}
	if err := s.open(ctx, config); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.wg.Go(func() { s.world.schedule(ctx) })
	return s, nil
}

// open builds the world and starts the servers.
func (s *Server) open(ctx context.Context, config Config) error {
	w, err := newWorld(ctx, config)
	if err != nil {
		return err
	}
	s.world = w
	var listen net.ListenConfig
	if s.ssh, err = listen.Listen(ctx, "tcp", defaultListen); err != nil {
		return fmt.Errorf("listening for the ssh proxy: %w", err)
	}
	s.wg.Go(func() { serveSimple(s.ssh, true) })
	w.sshHost = loopbackIP
	if address, ok := s.ssh.Addr().(*net.TCPAddr); ok {
		w.sshPort = address.Port
	}
	if s.api, s.urls[0], err = s.serve(ctx, config.Listen, config.TLS, apiHandler(w)); err != nil {
		return err
	}
	w.baseURL = s.urls[0]
	s.admin, s.urls[1], err = s.serve(ctx, config.AdminListen, nil, adminHandler(s))
	return err
}

// serve starts one HTTP server, or an HTTPS server, and returns its URL.
func (s *Server) serve(ctx context.Context, address string, secure *tls.Config, handler http.Handler) (*http.Server, string, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, "", fmt.Errorf("listening on %s: %w", address, err)
	}
	scheme := "http://"
	if secure != nil {
		// HTTP/1.1 only: several faults take the connection away.
		listener, scheme = tls.NewListener(listener, secure), "https://"
	}
	const headerTimeout = 10 * time.Second
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	s.wg.Go(func() {
		// Serve ends with ErrServerClosed when Close is called; there is nobody to tell.
		if server.Serve(listener) == nil {
			logClose(listener)
		}
	})
	return server, scheme + listener.Addr().String(), nil
}

// newWorld builds a world at the clock's present time.
func newWorld(ctx context.Context, config Config) (*world, error) {
	clk := newSimClock(config.Clock, config.Speed)
	now := clk.now()
	m, err := seedMarket(config, now)
	if err != nil {
		return nil, err
	}
	w := &world{
		cfg: config, clock: clk, now: now, wake: make(chan struct{}, 1), market: m,
		account: newAccount(config.UserID, config.CreditMicros, now),
		foreign: newAccount(config.UserID+1, defaultCreditMicros, now),
		keys:    map[string]*apiKey{}, rentals: map[int64]*rental{},
		faults:   &faultSet{draws: stream(config.Seed, purposeFaults)},
		limiter:  newLimiter(),
		requests: map[string]map[int]int{}, logs: map[string]*logUpload{},
		nextID: 30_000_000, draws: stream(config.Seed, purposeWorld),
	}
	backend := config.Backend
	if backend == nil {
		backend = NewComfyBackend()
	}
	w.listen = listenAt(ctx, config.InstanceAddress)
	w.start = func(spec BackendSpec) (BackendInstance, error) { return backend.Start(ctx, spec) }
	for _, key := range config.Keys {
		w.keys[key] = &apiKey{account: w.account}
	}
	w.seedForeign()
	w.drift()
	return w, nil
}

// seedForeign gives the other account a few rentals on machines that are not in
// the market, so that an answer that belongs to it is not empty.
func (w *world) seedForeign() {
	if len(w.market.ids) == 0 {
		return
	}
	const count = 3
	rows := w.market.machines[w.market.ids[0]].rows
	for n := range int64(count) {
		c := newMachine(1_000+n, 900_000+n, nil, w.now)
		for _, row := range rows {
			c.rows[1] = row
		}
		c.busy, c.endDate = make([]bool, 1), w.now.AddDate(1, 0, 0)
		label := fmt.Sprintf("other-%d", n)
		w.rent(&offer{id: n + 1, machine: c, gpus: []int{0}}, createOrder{image: "ubuntu:24.04", runType: "ssh", diskGB: defaultDiskGB}, &label, w.foreign)
	}
}

// schedule wakes for the next event until the context ends.
func (w *world) schedule(ctx context.Context) {
	for ctx.Err() == nil {
		wait, ok := w.untilNext()
		if !ok {
			wait = time.Hour // nothing is scheduled: whoever schedules something wakes this
		}
		w.sleep(ctx, max(wait, time.Millisecond))
	}
}

// sleep lets the injected clock run for d, or until woken.
func (w *world) sleep(ctx context.Context, d time.Duration) {
	timer := w.clock.base.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-w.wake:
	case <-ctx.Done():
	}
}

// shutDown stops every container; nothing happens in the world afterwards.
func (w *world) shutDown() {
	w.mu.Lock()
	w.closed = true
	for _, r := range w.rentals {
		w.stopContainer(r)
	}
	w.mu.Unlock()
	w.background.Wait()
}

// Close ends the simulation: servers, ports, containers. When it returns nothing
// of it runs any more. It may be called more than once.
func (s *Server) Close() error {
	s.once.Do(func() {
		s.cancel()
		for _, server := range []*http.Server{s.api, s.admin} {
			if server != nil {
				s.err = errors.Join(s.err, server.Close())
			}
		}
		if s.ssh != nil {
			s.err = errors.Join(s.err, s.ssh.Close())
		}
		if s.world != nil {
			s.world.shutDown()
		}
		s.wg.Wait()
	})
	return s.err
}

// URL is the address of the API, "http://127.0.0.1:port".
func (s *Server) URL() string { return s.urls[0] }

// AdminURL is the address of the admin API.
func (s *Server) AdminURL() string { return s.urls[1] }
