package comfysim

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// socket is one WebSocket client.
type socket struct {
	ready chan struct{} // closed when the handshake is over; conn is set before, unless it failed
	conn  *websocket.Conn
	ctx   func() context.Context // the request's, which ends with the connection
}

// write sends a frame, after the handshake.
func (s *socket) write(out outgoing) {
	<-s.ready // bounded: the handshake ends with the connection
	if s.conn != nil {
		_ = s.conn.Write(s.ctx(), out.kind, out.data) //nolint:errcheck // its reader notices that it is gone
	}
}

// outgoing is one event on its way; an empty client means everybody.
type outgoing struct {
	client string
	kind   websocket.MessageType
	data   []byte
}

// hub sends events one after the other, to one socket at a time, as ComfyUI does: a client that does not read blocks them all.
type hub struct {
	sockets map[string]*socket
	queue   []outgoing
	sending bool
}

// send queues an event. The instance's lock is held. Nothing is kept when nobody is connected.
func (p *process) send(client, event string, data map[string]any) {
	if len(p.hub.sockets) == 0 {
		return
	}
	encoded, err := json.Marshal(map[string]any{"type": event, "data": data})
	if err != nil {
		return
	}
	p.enqueue(outgoing{client: client, kind: websocket.MessageText, data: encoded})
}

func (p *process) broadcastStatus() {
	p.send("", "status", map[string]any{"status": execInfo(p.remaining())})
}

// sendPreview sends a small picture as a binary frame: event 1, format 2 (PNG).
func (p *process) sendPreview(client string, seed uint64) {
	if len(p.hub.sockets) == 0 {
		return
	}
	image, err := noisePicture(64, 64, seed, 64).encodePNG(nil)
	if err != nil {
		return
	}
	frame := binary.BigEndian.AppendUint32(nil, 1)
	frame = binary.BigEndian.AppendUint32(frame, 2)
	p.enqueue(outgoing{client: client, kind: websocket.MessageBinary, data: append(frame, image...)})
}

func (p *process) enqueue(out outgoing) {
	p.hub.queue = append(p.hub.queue, out)
	if !p.hub.sending && !p.inst.stopped {
		p.hub.sending = true
		p.inst.wg.Go(p.publish)
	}
}

// publish delivers what is queued and ends.
func (p *process) publish() {
	i := p.inst
	for {
		if !i.await(p.dead, func(time.Time) (time.Duration, bool) {
			_, stalled := i.active[FaultWebSocketStall]
			return 0, !stalled
		}) {
			return
		}
		i.mu.Lock()
		if len(p.hub.queue) == 0 {
			p.hub.sending, p.hub.queue = false, nil
			i.mu.Unlock()
			return
		}
		out := p.hub.queue[0]
		p.hub.queue = p.hub.queue[1:]
		var to []*socket
		for _, id := range sortedKeys(p.hub.sockets) {
			if out.client == "" || out.client == id {
				to = append(to, p.hub.sockets[id])
			}
		}
		i.mu.Unlock()
		for _, s := range to {
			s.write(out)
		}
	}
}

// getWebSocket serves one client until it leaves or the process ends. It is registered before the handshake is answered, so that a
// client which posts a prompt right after connecting misses nothing of it.
func (c *call) getWebSocket() {
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	s := &socket{ready: make(chan struct{}), ctx: func() context.Context { return ctx }}
	id := c.join(s)
	conn, err := websocket.Accept(c.w, c.r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // the middleware has checked the origin
	if err == nil {
		s.conn = conn
	}
	close(s.ready)
	if err == nil {
		c.i.wg.Go(func() {
			c.awaitCrash(ctx)
			cancel()
		})
		c.readAll(ctx, conn, id)
		_ = conn.CloseNow() //nolint:errcheck // it is gone
	}
	c.i.mu.Lock()
	// As in ComfyUI this takes whatever socket has the name: a client that came back under the same name while its old connection
	// was half open loses its events when the old one ends.
	delete(c.p.hub.sockets, id)
	c.i.mu.Unlock()
}

// awaitCrash waits until the process has ended. A crash that is due breaks the connection at its time, whether anybody asks or not.
func (c *call) awaitCrash(ctx context.Context) {
	c.i.await(ctx.Done(), func(now time.Time) (time.Duration, bool) {
		wait := time.Duration(0)
		if at := c.i.sup.diesAt; !at.IsZero() {
			wait = at.Sub(now)
		}
		return wait, c.i.proc != c.p
	})
}

// join registers the socket and greets it.
func (c *call) join(s *socket) string {
	c.i.mu.Lock()
	defer c.i.mu.Unlock()
	id := c.r.URL.Query().Get("clientId")
	if id == "" {
		id = strings.ReplaceAll(c.i.uuidLocked(), "-", "")
	}
	c.p.hub.sockets[id] = s
	c.p.send(id, "status", map[string]any{"status": execInfo(c.p.remaining()), "sid": id})
	if running := c.p.running; running != nil && running.clientID() == id && c.p.lastNode != "" {
		c.p.send(id, "executing", map[string]any{"node": c.p.lastNode})
	}
	return id
}

// readAll reads until the connection ends. The first frame may ask for the server's features.
func (c *call) readAll(ctx context.Context, conn *websocket.Conn, id string) {
	for first := true; ; first = false {
		_, data, err := conn.Read(ctx)
		if err != nil {
			return
		}
		var frame struct {
			Type string `json:"type"`
		}
		if !first || json.Unmarshal(bytes.TrimSpace(data), &frame) != nil || frame.Type != "feature_flags" {
			continue
		}
		c.i.mu.Lock()
		c.p.send(id, "feature_flags", map[string]any{
			"supports_preview_metadata": true, "max_upload_size": c.i.args.maxUploadMB << 20,
		})
		c.i.mu.Unlock()
	}
}
