package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/warmpool-dev/warmpool/internal/simulator/comfysim"
)

// adminHandler serves the admin API; see the package comment.
func adminHandler(s *Server) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, do func(request *http.Request, body []byte) (any, error)) {
		mux.HandleFunc(pattern, func(rw http.ResponseWriter, request *http.Request) {
			body, err := io.ReadAll(http.MaxBytesReader(rw, request.Body, maxRequestBytes))
			var value any
			if err == nil {
				value, err = do(request, body)
			}
			s.world.write(rw, request, adminAnswer(value, err))
		})
	}
	handle("GET /healthz", func(*http.Request, []byte) (any, error) { return object{"ok": true}, nil })
	handle("GET /clock", func(*http.Request, []byte) (any, error) { return s.clockState(), nil })
	handle("POST /clock/advance", s.adminAdvance)
	handle("GET /faults", func(*http.Request, []byte) (any, error) {
		return object{
			"registry": FaultKinds(), "active": s.Faults(), "endpoints": Endpoints(), "comfyui": comfysim.Registry(),
		}, nil
	})
	handle("POST /faults", s.adminAddFault)
	handle("DELETE /faults", func(*http.Request, []byte) (any, error) { return object{"removed": s.RemoveFault(0)}, nil })
	handle("DELETE /faults/{id}", s.adminRemoveFault)
	handle("GET /meter", s.adminMeter)
	handle("GET /rentals", func(*http.Request, []byte) (any, error) { return s.Meter().Records, nil })
	handle("POST /rentals", s.adminRent)
	handle("POST /rentals/{id}/fault", s.adminBackendFault)
	handle("DELETE /rentals/{id}/fault/{name}", s.adminClearBackendFault)
	handle("GET /market", func(*http.Request, []byte) (any, error) {
		return object{"offers": s.Offers(defaultStorageGB)}, nil
	})
	handle("POST /market", s.adminMarket)
	handle("POST /keys", s.adminKeys)
	handle("GET /requests", func(*http.Request, []byte) (any, error) { return s.Requests(), nil })
	return mux
}

// adminAnswer encodes a result, or an error as what was wrong with the request.
func adminAnswer(value any, err error) answer {
	switch {
	case err == nil:
		return okAnswer(value)
	case errors.Is(err, errNoRental), errors.Is(err, errNoKey), errors.Is(err, errNoOffer):
		return jsonAnswer(http.StatusNotFound, object{"error": err.Error()})
	default:
		return jsonAnswer(http.StatusBadRequest, object{"error": err.Error()})
	}
}

// read decodes a body strictly: a misspelt field must not be taken for none.
func read[T any](body []byte) (T, error) {
	var value T
	if len(body) == 0 {
		body = []byte("{}")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&value); err != nil {
		return value, fmt.Errorf("reading the request: %w", err)
	}
	return value, nil
}

// clockState is where simulated time is.
func (s *Server) clockState() object {
	return object{"now": s.Now(), "speed": s.world.cfg.Speed}
}

func (s *Server) adminAdvance(_ *http.Request, body []byte) (any, error) {
	ask, err := read[struct{ Seconds float64 }](body)
	if err != nil {
		return nil, err
	}
	if ask.Seconds <= 0 {
		return nil, errors.New("advancing the clock: seconds must be more than 0")
	}
	s.Jump(seconds(ask.Seconds))
	return s.clockState(), nil
}

func (s *Server) adminAddFault(_ *http.Request, body []byte) (any, error) {
	spec, err := read[FaultSpec](body)
	if err != nil {
		return nil, err
	}
	return s.AddFault(spec)
}

func (s *Server) adminRemoveFault(request *http.Request, _ []byte) (any, error) {
	id, err := strconv.ParseInt(request.PathValue("id"), 10, 64)
	if err != nil || id <= 0 {
		return nil, fmt.Errorf("removing a fault: %q is no id", request.PathValue("id"))
	}
	return object{"removed": s.RemoveFault(id)}, nil
}

func (s *Server) adminMeter(request *http.Request, _ []byte) (any, error) {
	m := s.Meter()
	prefixes := request.URL.Query()["prefix"]
	byPrefix := map[string]MeterSummary{}
	for _, prefix := range prefixes {
		byPrefix[prefix] = m.Summary(prefix)
	}
	return object{
		"now": m.Now, "creditMicros": m.CreditMicros, "total": m.Summary(""), "prefixes": byPrefix, "rentsPerLabel": m.Rents(""),
	}, nil
}

func (s *Server) adminRent(_ *http.Request, body []byte) (any, error) {
	ask, err := read[struct {
		OfferID int64
		Label   string
	}](body)
	if err != nil {
		return nil, err
	}
	id, err := s.RentAside(ask.OfferID, ask.Label)
	return object{"id": id}, err
}

func (s *Server) adminBackendFault(request *http.Request, body []byte) (any, error) {
	id, err := strconv.ParseInt(request.PathValue("id"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("setting a fault: %q is no rental", request.PathValue("id"))
	}
	fault, err := read[BackendFault](body)
	if err != nil {
		return nil, err
	}
	return object{"ok": true}, s.SetBackendFault(id, fault)
}

func (s *Server) adminClearBackendFault(request *http.Request, _ []byte) (any, error) {
	id, err := strconv.ParseInt(request.PathValue("id"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("ending a fault: %q is no rental", request.PathValue("id"))
	}
	return object{"ok": true}, s.ClearBackendFault(id, request.PathValue("name"))
}

func (s *Server) adminMarket(_ *http.Request, body []byte) (any, error) {
	ask, err := read[struct {
		Add      []OfferSpec
		Remove   []int64
		Machines []MachineChange
	}](body)
	if err != nil {
		return nil, err
	}
	added := []int64{}
	for _, spec := range ask.Add {
		id, err := s.AddOffer(spec)
		if err != nil {
			return nil, err
		}
		added = append(added, id)
	}
	for _, id := range ask.Remove {
		if err := s.RemoveOffer(id); err != nil {
			return nil, err
		}
	}
	for _, change := range ask.Machines {
		if err := s.ChangeMachine(change); err != nil {
			return nil, err
		}
	}
	return object{"added": added}, nil
}

func (s *Server) adminKeys(_ *http.Request, body []byte) (any, error) {
	ask, err := read[struct{ Action, Key, NewKey string }](body)
	if err != nil {
		return nil, err
	}
	return object{"ok": true}, s.SetKey(ask.Action, ask.Key, ask.NewKey)
}
