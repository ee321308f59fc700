package httpserver

import "time"

// SetStall sets for how long a connection of HTTP/2 may take nothing.
func (o *Options) SetStall(d time.Duration) { o.stall = d }

// SetRest sets for how long a connection that has been answered stays with net/http.
func (o *Options) SetRest(d time.Duration) { o.rest = d }

// Fresh returns on how many connections of a loop the first head is awaited. On the
// loop only.
func (s *Server) Fresh(loop int) (n int) {
	for o := s.fronts[loop].fresh.oldest; o != nil; o = o.newer {
		n++
	}
	return n
}
