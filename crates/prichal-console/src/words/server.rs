//! The words of the operator's pages.

use super::words;

words! {
    Server {
        title: "Сервер", "Сервер", "Server";
        nodes: "Узлы", "Түйіндер", "Nodes";
        node: "Узел", "Түйін", "Node";
        state: "Состояние", "Күйі", "State";
        alive: "работает", "жұмыс істеуде", "alive";
        expired: "аренда истекла", "жалдау мерзімі өтті", "lease expired";
        answers: "отвечает вам", "сізге жауап береді", "answers you";
        version: "Версия", "Нұсқа", "Version";
        started: "Запущен", "Іске қосылды", "Started";
        lease: "Аренда до", "Жалдау мерзімі", "Lease until";
        webhooks: "Получателей", "Алушылар", "Receivers";
        figures: "Показатели этого узла", "Осы түйіннің көрсеткіштері", "Figures of this node";
        deferred: "Отложено событий", "Кейінге қалған оқиғалар", "Deferred events";
        oldest: "Старейшее просрочено на", "Ең ескісінің кешігуі", "The oldest is late by";
        seconds: "{} с", "{} с", "{} s";
        runs: "Ждут запуска скрипты", "Іске қосуды күтетін скрипттер", "Runs that wait";
        mails: "Ждут отправки письма", "Жіберуді күтетін хаттар", "E-mails that wait";
        quarantined: "В карантине", "Карантинде", "In quarantine";
        lag: "Отставание получателей, событий", "Алушылардың артта қалуы, оқиға", "Lag of receivers, events";
        batch: "Записей в одной фиксации", "Бір бекітудегі жазбалар", "Writes in one commit";
        disk: "Свободно на диске", "Дискідегі бос орын", "Free disk space";
        sockets: "Открыто вебсокетов", "Ашық вебсокеттер", "Open websockets";
        speed: "Вызовов в секунду", "Секундына шақыру", "Calls a second";
        requests: "Запросов в секунду", "Секундына сұрау", "Requests a second";
        chart_about: "Последние десять минут, пока страница открыта. Числа есть и в /metrics.", "Бет ашық тұрған соңғы он минут. Сандар /metrics ішінде де бар.", "The last ten minutes while the page is open. The figures are also in /metrics.";
        quarantine: "Карантин", "Карантин", "Quarantine";
        quarantine_about: "Работа, при которой сервер падал. Её можно выпустить или оставить.", "Орындалғанда сервер құлаған жұмыс. Оны босатуға немесе тастауға болады.", "Work during which the server died. It can be released or given up.";
        quarantine_empty: "В карантине ничего нет.", "Карантинде ештеңе жоқ.", "Nothing is in quarantine.";
        kind: "Вид", "Түрі", "Kind";
        deaths: "Падений", "Құлау саны", "Deaths";
        held: "С", "Басталуы", "Since";
        release: "Выпустить", "Босату", "Release";
        give_up: "Оставить", "Тастау", "Give up";
        done: "Сделано.", "Орындалды.", "Done.";
        backups: "Резервные копии", "Сақтық көшірмелер", "Backups";
        backups_about: "Сервер сам копий не делает: здесь то, о чём ему сообщили.", "Сервер көшірмені өзі жасамайды: мұнда оған хабарланғаны ғана.", "The server makes no backups itself: this is what was reported to it.";
        last_backup: "Последняя копия", "Соңғы көшірме", "Last backup";
        no_backup: "О резервных копиях ещё не сообщали. Пусть скрипт, который их делает, заканчивается этой командой:", "Сақтық көшірмелер туралы әлі хабарланған жоқ. Оларды жасайтын скрипт мына пәрменмен аяқталсын:", "No backup was reported yet. Let the script that makes them end with this command:";
        time: "Время", "Уақыты", "Time";
        age: "Возраст", "Жасы", "Age";
        size: "Размер", "Көлемі", "Size";
        note: "Пометка", "Белгі", "Note";
        just_now: "только что", "жаңа ғана", "just now";
        minutes_ago: "{} мин назад", "{} мин бұрын", "{} min ago";
        hours_ago: "{} ч назад", "{} сағ бұрын", "{} h ago";
        days_ago: "{} дн. назад", "{} күн бұрын", "{} days ago";
        tabs: "Страницы оператора", "Оператор беттері", "Pages of the operator";
        audit: "Кто что сделал", "Кім не істеді", "Who did what";
        export: "Выгрузить найденное (NDJSON)", "Табылғанды жүктеп алу (NDJSON)", "Export what matches (NDJSON)";
    }
}
