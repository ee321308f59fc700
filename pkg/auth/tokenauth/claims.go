package tokenauth

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/orbitd/orbitd/pkg/channel"
)

// maxUser bounds a user's name, in bytes.
const maxUser = 256

// Names are the claims that say who somebody is. A name is a path: "a.b" is the
// claim "a.b", or else member "b" of the claim "a".
type Names struct {
	User   string // default: "sub"
	Groups string // default: "groups"; a list of texts, or one with spaces between them
	// Scope is the claim with the channels that the token is for: lists of patterns,
	// "subscribe" and "publish". Default: "channels".
	Scope string
}

func (n Names) orDefault() Names {
	return Names{cmp.Or(n.User, "sub"), cmp.Or(n.Groups, "groups"), cmp.Or(n.Scope, scopeClaim)}
}

// user returns the name of the user.
func (n Names) user(claims jwt.MapClaims) (string, error) {
	v, _ := lookup(claims, n.User)
	switch name, ok := v.(string); {
	case !ok || name == "":
		return "", fmt.Errorf("claim %q names no user", n.User)
	case len(name) > maxUser:
		return "", fmt.Errorf("the user's name has %d bytes; the limit is %d", len(name), maxUser)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "", errors.New("the user's name has control characters")
	default:
		return name, nil
	}
}

// groups returns the groups of the user; a claim that is missing is none.
func (n Names) groups(claims jwt.MapClaims) ([]string, error) {
	return texts(claims, n.Groups)
}

// maxPatterns bounds each list of a scope: all may be tried at each decision.
const maxPatterns = 64

// scope returns the channels that the token is for; a claim that is missing says
// nothing, and one that is there and not understood is no good.
func (n Names) scope(claims jwt.MapClaims) (*channel.Scope, error) {
	v, ok := lookup(claims, n.Scope)
	if !ok {
		return nil, nil
	}
	lists, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("claim %q is no object", n.Scope)
	}
	scope := &channel.Scope{}
	for name := range lists {
		var into *[]channel.Pattern
		switch name {
		case "subscribe":
			into = &scope.Subscribe
		case "publish":
			into = &scope.Publish
		default:
			return nil, fmt.Errorf("claim %q has %q, and only subscribe and publish are known", n.Scope, name)
		}
		written, err := texts(lists, name)
		if err == nil {
			*into, err = Patterns(written)
		}
		if err != nil {
			return nil, fmt.Errorf("claim %q: %w", n.Scope, err)
		}
	}
	return scope, nil
}

// Patterns reads one list of a scope.
func Patterns(written []string) (patterns []channel.Pattern, err error) {
	if len(written) > maxPatterns {
		return nil, fmt.Errorf("%d patterns of channels; the limit is %d", len(written), maxPatterns)
	}
	for _, text := range written {
		p, err := channel.ParsePattern(text)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, p)
	}
	return patterns, nil
}

// texts returns a claim that is a list of texts, or one text with spaces between
// them, as OAuth has it (RFC 8693 section 4.2).
func texts(claims jwt.MapClaims, name string) ([]string, error) {
	v, _ := lookup(claims, name)
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return strings.Fields(v), nil
	case []any:
		list := make([]string, len(v))
		for i, element := range v {
			var ok bool
			if list[i], ok = element.(string); !ok {
				return nil, fmt.Errorf("claim %q has an element that is no text", name)
			}
		}
		return list, nil
	}
	return nil, fmt.Errorf("claim %q is no list of texts", name)
}

// lookup returns what is at a path. Names of claims may contain dots themselves, as
// those that are URLs do: the longest name that is there counts.
func lookup(object map[string]any, path string) (any, bool) {
	if v, ok := object[path]; ok {
		return v, true
	}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] != '.' {
			continue
		}
		inner, _ := object[path[:i]].(map[string]any)
		if v, ok := lookup(inner, path[i+1:]); ok {
			return v, true
		}
	}
	return nil, false
}

// latestTime bounds the times that a token may name: the end of the year 9999.
// Beyond what a time can hold, none of them would mean anything.
const latestTime = 253402300799

// checkTimes reports a time that is none.
func checkTimes(claims jwt.MapClaims) error {
	for _, name := range []string{"exp", "nbf", "iat"} {
		if v, ok := claims[name].(float64); ok && math.Abs(v) > latestTime {
			return fmt.Errorf("claim %q is out of range", name)
		}
	}
	return nil
}

// An outline is what a token says before it is known to be true.
type outline struct{ header, claims map[string]any }

// peek returns it. Both parts must be JSON objects in which no name stands twice:
// of two values one reader takes the first and another the last.
func peek(token string) (outline, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return outline{}, errors.New("a token has three parts")
	}
	header, err := object(parts[0])
	if err != nil {
		return outline{}, fmt.Errorf("header: %w", err)
	}
	claims, err := object(parts[1])
	if err != nil {
		return outline{}, fmt.Errorf("claims: %w", err)
	}
	return outline{header, claims}, nil
}

func object(part string) (o map[string]any, err error) {
	text, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, err
	}
	if err := unique(json.NewDecoder(bytes.NewReader(text))); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, err
	}
	if o == nil {
		return nil, errors.New("null is no object")
	}
	return o, nil
}

// unique reports a name that stands twice in one object.
func unique(d *json.Decoder) error {
	type frame struct {
		names map[string]bool // nil: a list
		key   bool            // the next text is a name
	}
	var open []frame
	for {
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if name, isText := token.(string); isText && len(open) > 0 && open[len(open)-1].key {
			top := &open[len(open)-1]
			if top.names[name] {
				return fmt.Errorf("%q stands twice", name)
			}
			top.names[name], top.key = true, false
			continue
		}
		switch token {
		case json.Delim('{'):
			open = append(open, frame{map[string]bool{}, true})
			continue
		case json.Delim('['):
			open = append(open, frame{})
			continue
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
		if len(open) > 0 { // a value has ended
			open[len(open)-1].key = open[len(open)-1].names != nil
		}
	}
}

// The types of the tokens that are for such a use (RFC 8725 section 3.11): a logout
// token, say, is signed with the same key and is for something else. Those that renew
// must say so.
var (
	accessTypes  = []string{"jwt", "at+jwt"}
	renewalTypes = []string{renewalType}
)

// check reports a header that asks for what is not done here.
func (o outline) check(types []string) error {
	// What is critical must be understood (RFC 7515 section 4.1.11).
	if _, ok := o.header["crit"]; ok {
		return errors.New(`header "crit" names extensions, and none is known here`)
	}
	typ, ok := o.header["typ"]
	if !ok && types[0] != renewalType {
		return nil
	}
	name, _ := typ.(string)
	name = strings.TrimPrefix(strings.ToLower(name), "application/")
	for _, known := range types {
		if name == known {
			return nil
		}
	}
	return fmt.Errorf("header \"typ\" is %q: this token is for something else", name)
}
