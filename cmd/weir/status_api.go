package main

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/weir-project/weir/sinks/statuspage"
)

// statusRequest is what weir status asks for, and who typed it where that is not the
// user whom the kernel sees, as under sudo.
type statusRequest struct {
	statuspage.Action
	For string `json:"for,omitempty"`
}

// statusRoutes are the status page's, on the control socket alone: drafts are not for
// everybody.
func (s *server) statusRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/status", func(w http.ResponseWriter, _ *http.Request) {
		if s.status == nil {
			http.Error(w, errNoStatuspage.Error(), http.StatusNotFound)
			return
		}
		s.answerJSON(w, s.status.List())
	})
	mux.HandleFunc("POST /api/status", func(w http.ResponseWriter, r *http.Request) {
		if s.status == nil {
			http.Error(w, errNoStatuspage.Error(), http.StatusNotFound)
			return
		}
		var asked statusRequest
		data, err := readBody(r.Body)
		if err == nil {
			err = json.Unmarshal(data, &asked)
		}
		if err != nil {
			http.Error(w, "not an action: "+err.Error(), http.StatusBadRequest)
			return
		}
		asked.By = peerOf(r.Context())
		if asked.For != "" && asked.For != asked.By {
			asked.By += " (for " + printable(asked.For, 40) + ")"
		}
		post, err := s.status.Act(asked.Action)
		switch {
		case errors.Is(err, statuspage.ErrAction):
			http.Error(w, err.Error(), http.StatusBadRequest)
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		default:
			s.answerJSON(w, post)
		}
	})
}
