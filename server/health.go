package server

import (
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// UpdateHealth lets health say at once what Ready does, which it otherwise finds out within a moment.
func (s *Server) UpdateHealth() { s.followReady() }

// followReady sets the health of the server as a whole, whose name is empty, and of every service.
func (s *Server) followReady() {
	s.following.Lock() // what Ready said before mustn't be set after what it says now
	defer s.following.Unlock()
	state := healthpb.HealthCheckResponse_SERVING
	if s.ready() != nil {
		state = healthpb.HealthCheckResponse_NOT_SERVING
	}
	s.health.SetServingStatus("", state)
	for name := range s.grpc.GetServiceInfo() {
		s.health.SetServingStatus(name, state)
	}
}

func (s *Server) keepFollowing() {
	ticker := time.NewTicker(readyInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.followReady()
		case <-s.stop:
			return
		}
	}
}

// stopFollowing may be called again.
func (s *Server) stopFollowing() { s.stopOnce.Do(func() { close(s.stop) }) }
