package protocol

import "strconv"

// AppendCommand appends c as a client sends it: the inverse of [ParseCommand].
// Data must be one JSON value unless c.Binary.
func AppendCommand(dst []byte, c *Command) []byte {
	dst = append(dst, '{')
	if c.ID != 0 {
		dst = appendUint(appendKey(dst, "id"), c.ID)
	}
	dst = appendText(appendKey(dst, "op"), string(c.Op))
	if c.Channel != "" {
		dst = appendText(appendKey(dst, "channel"), string(c.Channel))
	}
	switch c.Op {
	case OpConnect:
		dst = appendConnect(dst, c)
	case OpSubscribe:
		dst = appendAfter(dst, c)
	case OpPublish:
		dst = appendPublish(dst, c)
	case OpHistory:
		dst = appendRange(dst, c)
	case OpAuth:
		dst = appendText(appendKey(dst, "app"), c.App)
		dst = appendText(appendKey(dst, "token"), c.Token)
	case OpAck:
		dst = appendLast(dst, c.Last)
	}
	return append(dst, '}')
}

func appendConnect(dst []byte, c *Command) []byte {
	dst = appendTextField(dst, `,"token":`, c.Token)
	if len(c.Auth) > 0 {
		dst = appendAuth(appendKey(dst, "auth"), c.Auth)
	}
	dst = appendTextField(dst, `,"session":`, c.Session)
	dst = appendTextField(dst, `,"secret":`, c.Secret)
	dst = appendTextField(dst, `,"client":`, c.Client)
	if c.Manual {
		dst = append(dst, `,"ack":"manual"`...)
	}
	if c.Epoch != 0 {
		dst = appendEpoch(appendKey(dst, "epoch"), c.Epoch)
	}
	if len(c.Last) > 0 {
		dst = appendLast(dst, c.Last)
	}
	return dst
}

func appendAuth(dst []byte, list []Auth) []byte {
	dst = append(dst, '[')
	for i, a := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(append(dst, `{"app":`...), a.App)
		dst = appendText(append(dst, `,"token":`...), a.Token)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func appendLast(dst []byte, marks []Mark) []byte {
	dst = append(appendKey(dst, "last"), '{')
	for i, mark := range marks {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, string(mark.Channel)), ':')
		dst = appendUint(dst, mark.Offset)
	}
	return append(dst, '}')
}

func appendAfter(dst []byte, c *Command) []byte {
	if c.HasAfter {
		dst = appendUint(appendKey(dst, "after"), c.After)
	}
	if c.Epoch != 0 {
		dst = appendEpoch(appendKey(dst, "epoch"), c.Epoch)
	}
	return dst
}

func appendPublish(dst []byte, c *Command) []byte {
	if c.Binary {
		dst = appendBinary(append(dst, ','), c.Data, c.ContentType)
	} else {
		dst = appendJSON(appendKey(dst, "data"), c.Data)
	}
	dst = appendHeaders(dst, c.Headers)
	dst = appendTextField(dst, `,"key":`, c.Key)
	if c.First != 0 {
		dst = strconv.AppendInt(appendKey(dst, "first"), c.First, 10)
	}
	return appendTextField(dst, `,"prev":`, c.Prev)
}

func appendRange(dst []byte, c *Command) []byte {
	if c.Before != 0 {
		dst = appendUint(appendKey(dst, "before"), c.Before)
	}
	if c.Limit != 0 {
		dst = strconv.AppendInt(appendKey(dst, "limit"), int64(c.Limit), 10)
	}
	return dst
}
