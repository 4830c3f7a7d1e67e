// What is shown while the files are copied: what the new system is used with. It needs QtQuick alone,
// of Qt 5.15 or 6. Calamares calls onActivate and onLeave of slideshowAPI 2.
import QtQuick 2.15

Rectangle {
    id: show

    property int current: 0
    // Seconds to read a slide.
    property int pause: 15

    readonly property var slides: [
        {
            title: qsTr("The desktop"),
            text: qsTr("Sway tiles the windows. Super is the key between Ctrl and Alt."),
            rows: [
                ["Super+Enter", qsTr("a terminal")],
                ["Super+d", qsTr("the programs")],
                ["Super+1 … Super+9", qsTr("workspaces; with Shift, the window goes there")],
                ["Super+Shift+q", qsTr("closes the window")],
                ["Ctrl+Alt+l", qsTr("logs out")]
            ]
        },
        {
            title: qsTr("Administration"),
            text: qsTr("Your user is in the group wheel, and doas asks for your own password."),
            rows: [
                ["doas pacman -Syu", qsTr("brings everything up to date")],
                ["doas pacman -S NAME", qsTr("installs a package")],
                ["doas nano /etc/doas.conf", qsTr("who may do what")]
            ]
        },
        {
            title: qsTr("Services"),
            text: qsTr("OpenRC starts and watches them. There is no systemd."),
            rows: [
                ["rc-status", qsTr("what runs")],
                ["doas rc-service NAME restart", qsTr("starts one again")],
                ["doas rc-update add NAME default", qsTr("starts one at every boot")],
                ["/var/log/everything.log", qsTr("what they said")]
            ]
        },
        {
            title: qsTr("Sessions and network"),
            text: qsTr("The firewall lets SSH and pings in, and nothing else. IPv6 is off."),
            rows: [
                ["loginctl", qsTr("who is logged in, and where")],
                ["systemd-inhibit COMMAND", qsTr("no sleep while a command runs")],
                ["iwctl", qsTr("wireless networks")],
                ["/etc/nftables.conf", qsTr("the firewall's rules")]
            ]
        }
    ]

    color: "#14101a"

    function onActivate() {
        current = 0;
        timer.start();
    }

    function onLeave() {
        timer.stop();
    }

    Timer {
        id: timer
        interval: show.pause * 1000
        repeat: true
        onTriggered: show.current = (show.current + 1) % show.slides.length
    }

    Column {
        anchors.centerIn: parent
        width: Math.min(parent.width - 48, 640)
        spacing: 14

        Text {
            color: "#f2eef7"
            font.pixelSize: 26
            text: show.slides[show.current].title
            textFormat: Text.PlainText
        }

        Text {
            color: "#d6cfe0"
            font.pixelSize: 16
            text: show.slides[show.current].text
            textFormat: Text.PlainText
            width: parent.width
            wrapMode: Text.WordWrap
        }

        Repeater {
            model: show.slides[show.current].rows

            Row {
                spacing: 16

                Text {
                    id: key

                    color: "#c678a8"
                    font.family: "monospace"
                    font.pixelSize: 15
                    text: modelData[0]
                    textFormat: Text.PlainText
                    width: 300
                }

                Text {
                    anchors.baseline: key.baseline
                    color: "#d6cfe0"
                    font.pixelSize: 15
                    text: modelData[1]
                    textFormat: Text.PlainText
                    width: show.width - 380
                    wrapMode: Text.WordWrap
                }
            }
        }
    }

    Row {
        anchors.bottom: parent.bottom
        anchors.bottomMargin: 16
        anchors.horizontalCenter: parent.horizontalCenter
        spacing: 8

        Repeater {
            model: show.slides.length

            Rectangle {
                color: index === show.current ? "#c678a8" : "#2e2639"
                height: 8
                radius: 4
                width: 8
            }
        }
    }
}
