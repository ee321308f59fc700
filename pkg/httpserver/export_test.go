package httpserver

import "time"

// SetStall sets for how long a connection of HTTP/2 may take nothing.
func (o *Options) SetStall(d time.Duration) { o.stall = d }
