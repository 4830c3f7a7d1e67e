/**
 * A dbus-daemon's configuration, as dbus-daemon(1) has it: anybody may connect, send signals and
 * answer, and receive everything.
 *
 * @param address where it listens
 * @param rules more of the default policy; of the rules that match, the last counts
 * @param more further policies and includes
 */
export const busConfig = (
  address: string,
  rules: string,
  more = "",
) => `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>${address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    ${rules}
  </policy>
  ${more}
</busconfig>
`;
