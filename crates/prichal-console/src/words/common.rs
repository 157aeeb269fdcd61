//! The words of several pages.

use super::words;

words! {
    /// The words of the layout and of parts that pages share.
    Common {
        skip: "К содержанию", "Мазмұнға өту", "Skip to the content";
        menu: "Разделы", "Бөлімдер", "Sections";
        now: "Сейчас", "Қазір", "Now";
        deliveries: "Доставки", "Жеткізулер", "Deliveries";
        events: "События", "Оқиғалар", "Events";
        calls: "Звонки", "Қоңыраулар", "Calls";
        documents: "Документы", "Құжаттар", "Documents";
        channels: "Каналы", "Арналар", "Channels";
        integrations: "Интеграции", "Интеграциялар", "Integrations";
        settings: "Люди и настройки", "Адамдар мен баптаулар", "People and settings";
        operator: "Сервер", "Сервер", "Server";
        workspaces: "Рабочие пространства", "Жұмыс кеңістіктері", "Workspaces";
        about_prichal: "Prichal соединяет телефонию, документы и учётные системы: принимает их события, доставляет их получателям и хранит историю.", "Prichal телефонияны, құжаттарды және есеп жүйелерін байланыстырады: олардың оқиғаларын қабылдап, алушыларға жеткізеді және тарихын сақтайды.", "Prichal connects telephony, documents and business systems: it takes their events, delivers them to receivers and keeps the history.";
        zone: "Часовой пояс всех времён на странице", "Беттегі барлық уақыттың белдеуі", "The time zone of all times on the page";
        no_workspaces: "Для вас нет ни одного рабочего пространства.", "Сізге ашық жұмыс кеңістігі жоқ.", "There is no workspace for you.";
        language: "Язык", "Тіл", "Language";
        sign_out: "Выйти", "Шығу", "Sign out";
        keys: "Клавиши", "Пернелер", "Keys";
        keys_search: "к фильтру списка", "тізім сүзгісіне", "to the filter of the list";
        keys_down: "следующая строка", "келесі жол", "next row";
        keys_up: "предыдущая строка", "алдыңғы жол", "previous row";
        keys_open: "открыть строку", "жолды ашу", "open the row";
        keys_resend: "отправить снова доставку под курсором; на других страницах — главное действие", "курсордағы жеткізуді қайта жіберу; басқа беттерде — негізгі әрекет", "send the delivery under the cursor again; the main action of other pages";
        keys_help: "эта подсказка", "осы көмек", "this help";
        close: "Закрыть", "Жабу", "Close";
        role_operator: "оператор сервера", "сервер операторы", "server operator";
        role_admin: "администратор", "әкімші", "administrator";
        role_integrator: "интегратор", "интегратор", "integrator";
        role_employee: "сотрудник", "қызметкер", "employee";
        role_viewer: "наблюдатель", "бақылаушы", "viewer";
        actions: "Действия", "Әрекеттер", "Actions";
        filter: "Показать", "Көрсету", "Show";
        filters: "Фильтры", "Сүзгілер", "Filters";
        filters_set: "задано:", "таңдалғаны:", "set:";
        reset: "Сбросить", "Тазалау", "Reset";
        any: "все", "барлығы", "any";
        from: "С", "Басы", "From";
        to: "По", "Соңы", "To";
        search: "Поиск", "Іздеу", "Search";
        more: "Ещё", "Тағы", "More";
        newest: "К новым", "Жаңаларына", "To the newest";
        show_all: "Показать целиком", "Толық көрсету", "Show all";
        cut: "Показано начало: {} из {} Б.", "Басы көрсетілген: {} / {} Б.", "Only the beginning is shown: {} of {} B.";
        copy: "Скопировать", "Көшіру", "Copy";
        copied: "Скопировано", "Көшірілді", "Copied";
        cancel: "Отмена", "Болдырмау", "Cancel";
        save: "Сохранить", "Сақтау", "Save";
        none: "нет", "жоқ", "none";
        pause: "Пауза", "Кідірту", "Pause";
        resume: "Продолжить", "Жалғастыру", "Resume";
        live: "Обновляется само", "Өзі жаңарады", "Updates by itself";
        paused: "Остановлено; новых: {}", "Тоқтатылды; жаңасы: {}", "Paused; new: {}";
        arrived: "Список обновлён.", "Тізім жаңартылды.", "The list was updated.";
        ended: "Вход закончился. Обновите страницу, чтобы войти снова.", "Сеанс аяқталды. Қайта кіру үшін бетті жаңартыңыз.", "Your session has ended. Reload the page to sign in again.";
        offline: "Нет связи с сервером. Страница подключится сама.", "Сервермен байланыс жоқ. Бет өзі қосылады.", "No connection to the server. The page reconnects by itself.";
    }
}

words! {
    /// The words of pages that cannot be shown.
    Faults {
        notice: "{}. {}", "{}. {}", "{}. {}";
        home: "К началу", "Басына", "To the start";
        not_found: "Такой страницы нет", "Мұндай бет жоқ", "There is no such page";
        not_found_text: "Её нет или она не для вас. Возможно, запись уже удалена.", "Ол жоқ немесе сізге арналмаған. Жазба жойылған болуы мүмкін.", "It does not exist, or it is not for you. The record may have been deleted.";
        foreign: "Форма не принята", "Пішін қабылданбады", "The form was refused";
        foreign_text: "Она пришла не с этого пульта, или вход уже закончился. Откройте страницу снова и повторите.", "Ол осы басқарудан келмеді немесе сеанс аяқталды. Бетті қайта ашып, қайталаңыз.", "It was not sent from this console, or your session has ended. Open the page again and repeat.";
        forbidden: "Нет права", "Құқық жоқ", "Not permitted";
        refused: "Сервер отказал", "Сервер бас тартты", "The server refused";
        too_large: "Форма слишком велика.", "Пішін тым үлкен.", "The form is too large.";
        store_away: "Хранилище сейчас недоступно", "Қойма қазір қолжетімсіз", "The store cannot be reached now";
        store_away_text: "Сервер работает, но его база данных не отвечает. Записанное не потеряно; причина есть в журнале сервера.", "Сервер жұмыс істеп тұр, бірақ дерекқоры жауап бермейді. Жазылғандар жоғалған жоқ; себебі сервер журналында.", "The server is up, but its database does not answer. Nothing that was written is lost; the reason is in the server's log.";
        again: "Попробовать снова", "Қайталап көру", "Try again";
        again_about: "Страница откроется сама, как только сервер ответит.", "Сервер жауап бергенде бет өзі ашылады.", "The page opens by itself as soon as the server answers.";
        unavailable: "Сервер сейчас не отвечает", "Сервер қазір жауап бермейді", "The server cannot answer now";
        unavailable_text: "Записанное не потеряно. Попробуйте ещё раз через минуту; причина есть в журнале сервера.", "Жазылғандар жоғалған жоқ. Бір минуттан кейін қайталаңыз; себебі сервер журналында.", "Nothing that was written is lost. Try again in a minute; the reason is in the server's log.";
    }
}

words! {
    /// The words of the page on which people sign in.
    SignIn {
        title: "Вход", "Кіру", "Sign in";
        about: "Вставьте ссылку для входа или токен.", "Кіру сілтемесін немесе токенді қойыңыз.", "Paste a sign-in link or a token.";
        link: "Ссылка или токен", "Сілтеме немесе токен", "Link or token";
        submit: "Войти", "Кіру", "Sign in";
        present: "Вы уже вошли: {} ({}). Новый вход завершит этот сеанс.", "Сіз кіріп қойғансыз: {} ({}). Жаңа кіру бұл сеансты аяқтайды.", "You are signed in as {} ({}). A new sign-in ends this session.";
        stay: "Остаться в этом сеансе", "Осы сеанста қалу", "Stay in this session";
        oidc: "Войти через компанию", "Компания арқылы кіру", "Sign in with your company";
        not_confirmed: "Провайдер компании не подтвердил вход, или ни одна из ваших групп не имеет здесь прав.", "Компания провайдері кіруді растамады немесе топтарыңыздың ешқайсысының мұнда құқығы жоқ.", "The company's provider has not confirmed the sign-in, or none of your groups has a right here.";
        provider_away: "Провайдер компании сейчас не отвечает.", "Компания провайдері қазір жауап бермейді.", "The company's provider does not answer now.";
        opening: "Ссылка действует один раз.", "Сілтеме бір рет жарамды.", "The link works once.";
        how: "Новую ссылку печатает команда:", "Жаңа сілтемені мына пәрмен шығарады:", "This command prints a new link:";
        of_demo: "В демонстрации: нажмите Enter в её терминале.", "Көрсетілімде: оның терминалында Enter басыңыз.", "In the demonstration: press Enter in its terminal.";
        invalid: "Ссылка уже использована, устарела или неверна; токены проверьте целиком.", "Сілтеме қолданылған, ескірген немесе қате; токенді толық тексеріңіз.", "The link was used, has expired or is wrong; check that a token is complete.";
        wait: "Слишком много неверных попыток. Подождите и попробуйте снова.", "Қате әрекет тым көп. Күтіп, қайталаңыз.", "Too many wrong attempts. Wait and try again.";
        unavailable: "Сервер сейчас не отвечает. Ссылка не израсходована.", "Сервер қазір жауап бермейді. Сілтеме жұмсалған жоқ.", "The server cannot answer now. The link is not used up.";
    }
}
