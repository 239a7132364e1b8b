package main

import (
	"encoding/hex"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// messageOutput is a message of the contract as output: its own field names, enum names without their prefix, times and durations as
// everywhere. What isn't set is left out, but for yes and no.
func messageOutput(m proto.Message) object {
	var out object
	reflected := m.ProtoReflect()
	fields := reflected.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		plainBool := field.Kind() == protoreflect.BoolKind && !field.HasPresence() && !field.IsList()
		if !reflected.Has(field) && !plainBool {
			continue
		}
		out = append(out, member{string(field.Name()), fieldOutput(field, reflected.Get(field))})
	}
	return out
}

func fieldOutput(field protoreflect.FieldDescriptor, value protoreflect.Value) any {
	if !field.IsList() {
		return valueOutput(field, value)
	}
	list := value.List()
	out := make([]any, 0, list.Len())
	for i := range list.Len() {
		out = append(out, valueOutput(field, list.Get(i)))
	}
	return out
}

func valueOutput(field protoreflect.FieldDescriptor, value protoreflect.Value) any {
	switch field.Kind() {
	case protoreflect.EnumKind:
		return enumName(field.Enum(), value.Enum())
	case protoreflect.BytesKind:
		return hex.EncodeToString(value.Bytes())
	case protoreflect.MessageKind:
		switch m := value.Message().Interface().(type) {
		case *timestamppb.Timestamp:
			return timeText(m.AsTime())
		case *durationpb.Duration:
			return durationText(m)
		default:
			return messageOutput(m)
		}
	}
	return value.Interface()
}
