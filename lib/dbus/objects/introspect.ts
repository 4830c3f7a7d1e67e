/** Introspection data; see "Introspection Data Format" in the D-Bus specification. */
import type { Argument, Interface, MethodMember, PropertyMember } from "./interface.ts";

const DOCTYPE =
  '<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"\n' +
  '"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">\n';

const STANDARD = ` <interface name="org.freedesktop.DBus.Peer">
  <method name="Ping"/>
  <method name="GetMachineId">
   <arg type="s" name="machine_uuid" direction="out"/>
  </method>
 </interface>
 <interface name="org.freedesktop.DBus.Introspectable">
  <method name="Introspect">
   <arg name="xml_data" type="s" direction="out"/>
  </method>
 </interface>
`;

const PROPERTIES = ` <interface name="org.freedesktop.DBus.Properties">
  <method name="Get">
   <arg name="interface_name" direction="in" type="s"/>
   <arg name="property_name" direction="in" type="s"/>
   <arg name="value" direction="out" type="v"/>
  </method>
  <method name="GetAll">
   <arg name="interface_name" direction="in" type="s"/>
   <arg name="props" direction="out" type="a{sv}"/>
  </method>
  <method name="Set">
   <arg name="interface_name" direction="in" type="s"/>
   <arg name="property_name" direction="in" type="s"/>
   <arg name="value" direction="in" type="v"/>
  </method>
  <signal name="PropertiesChanged">
   <arg type="s" name="interface_name"/>
   <arg type="a{sv}" name="changed_properties"/>
   <arg type="as" name="invalidated_properties"/>
  </signal>
 </interface>
`;

const argumentLines = (list: Argument[], direction?: "in" | "out") =>
  list.map(
    ({ name, type }) =>
      `   <arg type="${type}" name="${name}"${direction ? ` direction="${direction}"` : ""}/>\n`,
  );

const annotation = (name: string, value: string) =>
  `   <annotation name="${name}" value="${value}"/>\n`;

function memberXml(name: string, member: MethodMember<never> | PropertyMember<never>): string {
  const privileged = member.privileged
    ? annotation("org.freedesktop.systemd1.Privileged", "true")
    : "";
  if (member.kind === "property") {
    const access = member.set ? "readwrite" : "read";
    const emits =
      member.emits === "true"
        ? ""
        : annotation("org.freedesktop.DBus.Property.EmitsChangedSignal", member.emits);
    const attributes = `name="${name}" type="${member.type}" access="${access}"`;
    return element("property", attributes, emits + privileged);
  }
  const lines = [...argumentLines(member.in, "in"), ...argumentLines(member.out, "out")];
  return element("method", `name="${name}"`, lines.join("") + privileged);
}

function element(kind: string, attributes: string, inside: string): string {
  if (inside === "") return `  <${kind} ${attributes}/>\n`;
  return `  <${kind} ${attributes}>\n${inside}  </${kind}>\n`;
}

/** The introspection document of an object with these interfaces and the nodes below it. */
export function introspection(interfaces: Interface<never>[], children: string[]): string {
  const own = interfaces.map(({ name, members, signals = {} }) => {
    const inside = [
      ...Object.entries(members)
        .filter(([, definition]) => definition.kind === "method" || !definition.hidden)
        .map(([member, definition]) => memberXml(member, definition)),
      ...Object.entries(signals).map(([member, definition]) =>
        element("signal", `name="${member}"`, argumentLines(definition.arguments).join("")),
      ),
    ];
    return ` <interface name="${name}">\n${inside.join("")} </interface>\n`;
  });
  const nodes = children.map((child) => ` <node name="${child}"/>\n`);
  const standard = STANDARD + (interfaces.length > 0 ? PROPERTIES : "");
  return `${DOCTYPE}<node>\n${standard}${own.join("")}${nodes.join("")}</node>\n`;
}
