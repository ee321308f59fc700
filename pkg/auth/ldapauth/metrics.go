package ldapauth

// A Pool is how many connections to the directory there are, of one kind.
type Pool struct {
	Kind        string // "search" or "bind"
	InUse, Idle int
	Limit       int // of those in use
}

// Pools returns how the connections to the home directory are.
func (a *Authenticator) Pools() []Pool {
	return []Pool{a.home.searches.stats("search"), a.home.binds.stats("bind")}
}

func (p *pool) stats(kind string) Pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Pool{Kind: kind, InUse: len(p.slots), Idle: len(p.idle), Limit: cap(p.slots)}
}
