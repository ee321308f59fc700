package ldapauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	ldap "github.com/go-ldap/ldap/v3"
)

// pageSize is how many entries a server is asked for at a time (RFC 2696).
const pageSize = 500

// A directory is one or more servers that hold the same. It may be used
// concurrently.
type directory struct {
	o        *Options
	servers  []*server
	searches *pool // bound as the account that searches
	binds    *pool // for users to bind on, and for nothing else
}

func newDirectory(urls []string, o *Options) (*directory, error) {
	d := &directory{o: o}
	var errs []error
	for _, u := range urls {
		s, err := newServer(u, o)
		errs = append(errs, err)
		d.servers = append(d.servers, s)
	}
	d.searches = newPool(o.Connections, true, o.Now, func(ctx context.Context) (*conn, error) { return d.dial(ctx, d.bindService) })
	d.binds = newPool(o.Connections, false, o.Now, func(ctx context.Context) (*conn, error) {
		return d.dial(ctx, func(context.Context, *conn) error { return nil })
	})
	return d, errors.Join(errs...)
}

// dial returns a connection to the first server that gives one. Those that have
// failed lately are not asked.
func (d *directory) dial(ctx context.Context, prepare func(context.Context, *conn) error) (*conn, error) {
	var errs []error
	for _, s := range d.servers {
		if ctx.Err() != nil {
			break
		}
		if rest, why := s.rests(d.o.Now()); rest > 0 {
			errs = append(errs, fmt.Errorf("%s has failed and is left alone for %s: %v", s.url, rest.Round(time.Millisecond), why))
			continue
		}
		c, err := d.dialOne(ctx, s, prepare)
		if err == nil {
			s.worked(d.o.Logger)
			return c, nil
		}
		// Not wrapped: its code, if it has one, answers no question of the caller's.
		errs = append(errs, fmt.Errorf("%s: %v", s.url, err))
		if ctx.Err() == nil { // else it had less time than it may take
			d.failed(s, err)
		}
	}
	return nil, errors.Join(append(errs, context.Cause(ctx))...)
}

func (d *directory) dialOne(ctx context.Context, s *server, prepare func(context.Context, *conn) error) (*conn, error) {
	c, err := s.connect(ctx, d.o.DialTimeout)
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, c); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// bindService binds as the account that searches.
func (d *directory) bindService(ctx context.Context, c *conn) error {
	if d.o.BindDN == "" {
		return nil
	}
	ctx, cancel := d.limited(ctx)
	defer cancel()
	if err := c.do(ctx, func() error { return c.ldap.Bind(d.o.BindDN, d.o.BindPassword) }); err != nil {
		return fmt.Errorf("bind as %s (bind_dn, bind_password): %w", d.o.BindDN, reason(err))
	}
	return nil
}

// limited returns ctx for one question.
func (d *directory) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d.o.OperationTimeout, fmt.Errorf("it took longer than %s (operation_timeout)", d.o.OperationTimeout))
}

// failed notes that a server did not work, and gives up the connections to it.
func (d *directory) failed(s *server, err error) {
	s.failed(err, d.o.Now(), d.o.Logger)
	for _, p := range []*pool{d.searches, d.binds} {
		p.drop(func(c *conn) bool { return c.server == s })
	}
}

// ask runs one question on a connection of p, within the time of one question.
func (d *directory) ask(ctx context.Context, p *pool, question func(*conn) error) error {
	return p.use(ctx, func(c *conn) error {
		limited, cancel := d.limited(ctx)
		defer cancel()
		err := c.do(limited, func() error { return question(c) })
		busy := answered(err) && (codeOf(err) == ldap.LDAPResultBusy || codeOf(err) == ldap.LDAPResultUnavailable)
		c.broken = c.broken || busy // another server may do better
		if c.broken && (!c.old || c.timedOut || busy) && ctx.Err() == nil {
			d.failed(c.server, err)
		}
		return err
	})
}

// search returns the entries that match, and where else the server says that
// there may be some. More than limit are an error.
func (d *directory) search(ctx context.Context, q query) (entries []*ldap.Entry, referrals []string, err error) {
	paging := ldap.NewControlPaging(uint32(min(q.limit+1, pageSize)))
	err = d.ask(ctx, d.searches, func(c *conn) error {
		entries, referrals = nil, nil
		paging.SetCookie(nil)
		for {
			r, err := c.ldap.Search(ldap.NewSearchRequest(q.base, q.scope, ldap.NeverDerefAliases, 0, 0, false, q.filter, q.attributes, []ldap.Control{paging}))
			if err != nil {
				return err
			}
			entries, referrals = append(entries, r.Entries...), append(referrals, r.Referrals...)
			next, more := ldap.FindControl(r.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
			more = more && len(next.Cookie) > 0
			if !more || len(entries) > q.limit {
				c.spent = more // the server keeps a page for us that nobody wants
				return nil
			}
			paging.SetCookie(next.Cookie)
		}
	})
	switch {
	case err != nil:
		return nil, referredTo(err), fmt.Errorf("search %q for %s: %w", q.base, q.filter, reason(err))
	case len(entries) > q.limit:
		return nil, nil, fmt.Errorf("search %q for %s: %w", q.base, q.filter, errTooMany)
	}
	return entries, referrals, nil
}

// A query is what is asked of a directory.
type query struct {
	base       string
	scope      int
	filter     string
	limit      int
	attributes []string
}

var errTooMany = errors.New("more entries than there may be")

// bind binds as dn with a user's password, once. The error is errRefused, with
// the reason, if the directory says that this is not the user's password, or
// that it does not let this user in.
func (d *directory) bind(ctx context.Context, dn, password string) error {
	var answer *ldap.SimpleBindResult
	err := d.ask(ctx, d.binds, func(c *conn) (err error) {
		answer, err = c.ldap.SimpleBind(ldap.NewSimpleBindRequest(dn, password, []ldap.Control{ldap.NewControlBeheraPasswordPolicy()}))
		if err != nil || policyOf(answer) != nil {
			return err
		}
		return c.isSomebody()
	})
	return judge(answer, err) // here, for a no is no failure of the server
}

// isSomebody asks the server who it thinks has bound (RFC 4532): a server may
// take a bind for one that proves nothing, and say that it was successful. Not
// every server knows the question.
func (c *conn) isSomebody() error {
	who, err := c.ldap.WhoAmI(nil)
	switch {
	case err != nil && answered(err):
		return nil
	case err != nil:
		return err
	case who.AuthzID == "" || who.AuthzID == "dn:":
		return errors.New("the server says that the bind was successful, and that nobody has bound")
	}
	return nil
}

func (d *directory) close() {
	d.searches.close()
	d.binds.close()
}
