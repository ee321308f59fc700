package httpserver

import "time"

// SetStall sets for how long a connection of HTTP/2 may take nothing.
func (o *Options) SetStall(d time.Duration) { o.stall = d }

// SetRest sets for how long a connection that has been answered stays with net/http.
func (o *Options) SetRest(d time.Duration) { o.rest = d }
