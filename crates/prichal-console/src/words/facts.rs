//! The words of what the server tells in its own: kinds of entities and changes, reasons of failures, alerts, units.

use super::words;

words! {
    Facts {
        company: "компания", "компания", "company";
        contact: "контакт", "байланыс", "contact";
        deal: "сделка", "мәміле", "deal";
        task: "задача", "тапсырма", "task";
        communication: "звонок", "қоңырау", "call";
        catalog_item: "позиция каталога", "каталог позициясы", "catalog item";
        notification: "уведомление", "хабарлама", "notification";
        user: "пользователь", "пайдаланушы", "user";
        group: "группа", "топ", "group";
        role: "роль", "рөл", "role";
        integration: "интеграция", "интеграция", "integration";
        document: "документ", "құжат", "document";
        route: "маршрут", "маршрут", "route";
        workflow: "процесс", "процесс", "workflow";
        integration_point: "канал", "арна", "channel";
        svcscript: "скрипт", "скрипт", "script";
        create: "создание", "құру", "created";
        patch: "правка", "түзету", "changed";
        delete: "удаление", "жою", "deleted";
        restore: "восстановление", "қалпына келтіру", "restored";
        link: "связь", "байланыс", "link";
        unlink: "связь снята", "байланыс алынды", "unlink";
        not_200: "ответ был {}, а не 200", "жауап 200 емес, {} болды", "the answer was {}, not 200";
        not_2xx: "ответ был {}, а не 2xx", "жауап 2xx емес, {} болды", "the answer was {}, not 2xx";
        answered: "ответ был {}", "жауап {} болды", "the answer was {}";
        no_echo: "заголовок эха не вернулся или неверен", "эхо тақырыбы қайтпады немесе қате", "the echo header is missing or wrong";
        too_late: "ответа не было вовремя", "жауап уақытында келмеді", "no answer in time";
        refused: "нет соединения: узел его отклонил", "қосылым жоқ: түйін қабылдамады", "no connection: refused by the host";
        no_connection: "нет соединения", "қосылым жоқ", "no connection";
        no_name: "имя узла не находится", "түйін аты табылмады", "the host name could not be resolved";
        closed: "соединение закрылось до ответа", "қосылым жауапқа дейін жабылды", "the connection was closed before the answer";
        alert_webhook: "Вебхук {} интеграции {}", "{} вебхугі ({} интеграциясы)", "The webhook {} of {}";
        alert_documents: "Подписка на документы", "Құжаттарға жазылым", "The subscription to documents";
        alert_channel: "Канал {}", "{} арнасы", "The channel {}";
        alert_script: "Скрипт {}", "{} скрипті", "The script {}";
        alert_quota: "Квота {}", "{} квотасы", "The quota of {}";
        alert_signer: "Подписант {}", "{} қол қоюшысы", "The signer {}";
        alert_receiver: "Узел {}", "{} торабы", "The host {}";
        alert_authority: "Корень доверия сервера (egress-ca)", "Сервердің сенім түбірі (egress-ca)", "The server's trust anchor (egress-ca)";
        alert_disk: "Диск узла {}", "{} түйінінің дискісі", "The disk of the node {}";
        quota_entities: "записей", "Жазбалар", "entities";
        quota_files: "файлов", "Файлдар", "files";
        quota_events: "событий", "Оқиғалар", "events";
        quota_runs: "запусков скриптов", "Скрипт іске қосулары", "runs of scripts";
        quota_records: "прочих данных", "Басқа деректер", "other data";
        certificate_until: "{}: срок сертификата до {}", "{}: сертификат мерзімі {} дейін", "{}: the certificate is good until {}";
        disk_free: "{}: свободно {} %", "{}: бос орын {} %", "{} has {} % free";
        field: "«{}»", "«{}»", "«{}»";
        in_line: "«{}» (строка {})", "«{}» ({}-жол)", "«{}» (line {})";
        failing: "{}: вызовы не удаются", "{}: шақырулар сәтсіз", "{} fails";
        failing_why: "{}: вызовы не удаются: {}", "{}: шақырулар сәтсіз: {}", "{} fails: {}";
        script_failing: "{}: ошибка: {}", "{}: қате: {}", "{} fails: {}";
        switched_off: "{}: выключен", "{}: өшірілген", "{} is switched off";
        paused: "{}: на паузе", "{}: кідіртілген", "{} is paused";
        behind: "{}: отстаёт, событий ждёт: {}", "{}: артта қалды, күткен оқиғалар: {}", "{} is behind, events that wait: {}";
        used: "{}: израсходовано {} %", "{}: {} % жұмсалды", "{} is used up to {} %";
        milliseconds: "{} мс", "{} мс", "{} ms";
        seconds: "{} с", "{} с", "{} s";
        bytes: "Б", "Б", "B";
        kilobytes: "КБ", "КБ", "KB";
        megabytes: "МБ", "МБ", "MB";
        gigabytes: "ГБ", "ГБ", "GB";
        terabytes: "ТБ", "ТБ", "TB";
    }
}
